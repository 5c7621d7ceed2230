"""People of a review: who a subject is, and whether that person has left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.quantities import count_noun, format_percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACTIVE: Final = frozenset(("", "active", "current", "employed", "enabled", "true", "y", "yes", "1"))
"""What `Person.active` may say of a person who has not left, in lower case."""
INACTIVE: Final = frozenset(
    ("disabled", "false", "former", "inactive", "leaver", "left", "n", "no", "suspended", "terminated", "0")
)
"""What `Person.active` may say of a person who has left, in lower case."""

MANY_LEAVERS: Final = 0.2
"""The share of leavers among the listed subjects above which a review warns about the list."""
TOO_MANY_LEAVERS: Final = 0.5
"""The share of leavers among the listed subjects above which a review proposes nothing for any of them."""
_FEW: Final = 10
"""So few leavers are no sign of a wrong list, whatever their share."""
_NAMED: Final = 3


class Person(NamedTuple):
    """Who a subject is; shown in findings, stored nowhere. `left` is the last day of work, an ISO day, "" for none."""

    name: str = ""
    team: str = ""
    manager: str = ""
    active: str = ""
    left: str = ""

    def has_left(self, today: str) -> bool:
        """Whether the person is not active, or had their last day before today."""
        return self.active.strip().lower() in INACTIVE or bool(self.left and self.left < today)


NOBODY: Final = Person()


@dataclass(slots=True)
class PeopleCount:
    """The subjects of a review, compared with the list of people. Of the missing ones, the first are named."""

    listed: int = 0
    leavers: int = 0
    late_users: int = 0
    missing: int = 0
    examples: list[str] = field(default_factory=list[str])
    met: set[str] = field(default_factory=set[str])
    ambiguous: set[str] = field(default_factory=set[str])

    def add(self, subject: str, people: Mapping[str, Person], today: str, last_use: str) -> None:
        """Count a subject, whose last use of anything was on the day `last_use`."""
        person = people.get(subject)
        if person is None:
            self.missing += 1
            if len(self.examples) < _NAMED:
                self.examples.append(subject)
            return
        if subject in self.met:
            # The list has no issuers, so it does not say whom of the two it means.
            self.ambiguous.add(subject)
        self.met.add(subject)
        self.listed += 1
        if person.has_left(today):
            self.leavers += 1
            self.late_users += bool(person.left and last_use > person.left)

    def doubt(self, subject: str) -> str:
        """Why nothing is proposed for a leaver; "" if there is no doubt about the list."""
        if self.leavers >= _FEW and self.leavers > TOO_MANY_LEAVERS * self.listed:
            return f"the list of people may be wrong: {self._share} have left"
        if subject in self.ambiguous:
            return "several issuers have a subject of this name, and the list of people does not say which one has left"
        return ""

    @property
    def _share(self) -> str:
        return f"{format_percent(self.leavers / self.listed)} of the {count_noun(self.listed, 'subject')} in it"

    def notes(self, people: Mapping[str, Person], today: str) -> Iterator[str]:
        """What a reader must know about the list of people."""
        if self.late_users:
            whose = "person" if self.late_users == 1 else "people"
            yield f"{self.late_users:,} {whose} used a grant after the last day of work"
        if self.leavers >= _FEW and self.leavers > MANY_LEAVERS * self.listed:
            yield f"The list of people says that {self._share} have left: check the list before you remove anything"
        if self.missing:
            missing = count_noun(self.missing, "subject")
            are = "is" if self.missing == 1 else "are"
            more = "" if self.missing <= len(self.examples) else ", ..."
            yield f"{missing} {are} not in the list of people ({', '.join(self.examples)}{more}): they may have left"
        unknown = [name for name in people if name not in self.met]
        if unknown:
            listed = f"{', '.join(unknown[:_NAMED])}{'' if len(unknown) <= _NAMED else ', ...'}"
            of_them = "is" if len(unknown) == 1 else "are"
            yield f"{count_noun(len(unknown), 'person')} in the list of people {of_them} not in this review ({listed})"
        doubtful = sum(
            1 for name in self.met if people[name].has_left(today) and people[name].active.strip().lower() in _SAYS_YES
        )
        if doubtful:
            verb = "is" if doubtful == 1 else "are"
            yield f"{count_noun(doubtful, 'person')} {verb} marked as active, but the last day of work is over: a leaver"


_SAYS_YES: Final = ACTIVE - {""}
