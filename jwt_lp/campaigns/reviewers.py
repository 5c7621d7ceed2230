"""Reviewers: who decides about a part of a campaign, as the list of people says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp.stores.audit import Actor
from jwt_lp.usage.recorder import is_pseudonym

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jwt_lp.review import Person
    from jwt_lp.usage.usage_records import SubjectNaming


class ReviewerList:
    """The reviewers of parts: those of `named`, by the part's name, and else the managers in the list of people.

    `issuer` is where reviewers sign in, "" for the issuer of what they decide about. `naming` gives the names of the list
    from subjects. Nobody is a reviewer who has left on the day `today`.
    """

    def __init__(
        self,
        people: Mapping[str, Person],
        named: Mapping[str, Actor | None],
        *,
        issuer: str,
        naming: SubjectNaming,
        today: str,
    ) -> None:
        self._people: Final = people
        self._named: Final = named
        self._issuer: Final = issuer
        self._naming: Final = naming
        self._today: Final = today
        self._subjects: Final[dict[str, list[str]]] = {}
        for subject, person in people.items():
            self._subjects.setdefault(person.name, []).append(subject)

    def find(self, part: str, issuers: Collection[str], *, by_manager: bool) -> Actor | None:
        """The reviewer of a part with holders of `issuers`; None if none is named, or the name may mean several."""
        if part in self._named:
            return self._named[part]
        if not (by_manager and part and (self._issuer or len(issuers) == 1)):
            return None
        issuer = self._issuer or next(iter(issuers))
        subject = self._subject(part, issuers)
        listed = self._people.get(self._names(subject, issuers))
        # A name in the list that is a keyed hash is not what its bearer signs in with.
        if not subject or listed is None or listed.has_left(self._today) or is_pseudonym(subject):
            return None
        return Actor(issuer=issuer, subject=subject, name=listed.name)

    def _subject(self, manager: str, issuers: Collection[str]) -> str:
        """The subject of a manager who is named by subject, or by a name that exactly one person has."""
        if self._names(manager, issuers) in self._people:
            return manager
        subjects = self._subjects.get(manager, [])
        return subjects[0] if len(subjects) == 1 else ""

    def _names(self, subject: str, issuers: Collection[str]) -> str:
        """The name of a subject in the list of people."""
        if subject in self._people or len(issuers) != 1:
            return subject
        return self._naming(next(iter(issuers)), subject)
