"""Checks of decisions: whether they are complete, and whether whoever makes them may."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import CampaignRefused, InvalidDecision
from jwt_lp.review.plan.decision_faults import decision_faults, read_day
from jwt_lp.review.plan.line_faults import limit_faults
from jwt_lp.stores.row_keys import fit_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.policy.entries import Role
    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Finding, Person
    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import CampaignItem, CampaignPart, WantedDecision
    from jwt_lp.usage.usage_records import SubjectNaming

MAX_COMMENT: Final = 1000
"""The most characters of a comment."""

NOT_YOURS: Final = "this part is not yours: its reviewer decides about it, or delegates it"
NO_REVIEWER: Final = "a reviewer has an issuer and a subject, as the reviewer's token names them"

MAX_EXEMPTION: Final = timedelta(days=2 * 366)
"""How long an exemption lasts at most."""

_RETAINING: Final = ("keep", "narrow", "exempt")
_MOST_GRANTS: Final = 20_000


def check_decisions(
    wanted: Sequence[WantedDecision], findings: Mapping[str, tuple[Finding, str]], *, today: str
) -> tuple[WantedDecision, ...]:
    """The decisions with blanks removed and days in ISO form; `InvalidDecision` names what is wrong with each.

    `findings` are the findings by their ids, with the groups that they are in.
    """
    tidied = tuple(
        replace(each, until=_tidy_day(each.until), comment=each.comment.strip(), decision=each.decision)
        for each in wanted
    )
    faults = limit_faults(
        f"{name_of(findings[each.item][0])}: {fault}"
        for each in tidied
        for fault in _faults(each, *findings[each.item], today)
    )
    if faults:
        raise InvalidDecision(*faults)
    return tidied


def name_of(finding: Finding) -> str:
    """A finding in a few words: its holder, and the grant or the role."""
    return f"{finding.name} {finding.grant or finding.role}"


def _tidy_day(text: str) -> str:
    text = text.strip()
    return read_day(text) or text


def _faults(wanted: WantedDecision, finding: Finding, group: str, today: str) -> Iterator[str]:
    if len(wanted.comment) > MAX_COMMENT:
        yield f"the comment has more than {MAX_COMMENT:,} characters"
    if wanted.group not in ("", group):
        yield "it is not in that group"
    if not wanted.decision:
        return
    faults = [*decision_faults(wanted.decision, wanted.until, narrower=bool(finding.instead))]
    yield from faults
    if not faults and wanted.until and wanted.until < today:
        yield f"the exemption ended on {wanted.until}: name a day that is to come"
    # INVARIANT: later reviews leave out what is exempt, so nobody takes a grant out of all of them for ever.
    latest = (date.fromisoformat(today) + MAX_EXEMPTION).isoformat()
    if not faults and wanted.until > latest:
        yield f"an exemption lasts until {latest} at most: it can be made again then"


class OwnAccess:
    """Whether a decision is about the access of whoever makes it. Roles that somebody has are read from `store` once.

    `people` is the list of people by subject. It names no issuers, and reviewers are found by it, so a subject in it is
    one person at every issuer. `policy` says which roles include others.
    """

    def __init__(
        self, store: Store, naming: SubjectNaming, people: Mapping[str, Person], policy: Callable[[], Policy]
    ) -> None:
        self._store: Final = store
        self._naming: Final = naming
        self._people: Final = people
        self._policy: Final = policy
        self._roles: Final[dict[tuple[str, str], frozenset[str]]] = {}

    def is_about(self, finding: Finding, person: Actor) -> bool:
        """Whether a finding is about what the person holds."""
        return finding.of == "subject" and finding.name in self._names_of(person, finding.issuer)

    def refusal(self, finding: Finding, decision: str, person: Actor) -> str:
        """Why the person may not decide so; "" if nothing is against it."""
        if self.is_about(finding, person):
            return "nobody decides about their own access"
        if finding.of == "role" and decision in _RETAINING and finding.name in self._roles_of(person):
            return "nobody keeps a grant of a role that they have themselves"
        return ""

    def _names_of(self, person: Actor, issuer: str) -> frozenset[str]:
        """The names that the store may have for the person at an issuer; none where it would be somebody else."""
        # INVARIANT: names of findings are those of the store, which cuts long ones, and may keep keyed hashes of subjects.
        names = {person.subject, self._naming(issuer, person.subject)} - {""}
        if fit_text(issuer) != fit_text(person.issuer) and names.isdisjoint(self._people):
            return frozenset()
        return frozenset(map(fit_text, names))

    def _roles_of(self, person: Actor) -> frozenset[str]:
        key = person.issuer, person.subject
        if key not in self._roles:
            held = {
                grant.role
                for issuer in dict.fromkeys((person.issuer, *self._store.issuers()))
                for name in self._names_of(person, issuer)
                for grant in self._store.holder_grants(issuer=issuer, subject=name, limit=_MOST_GRANTS)
                if grant.role
            }
            self._roles[key] = frozenset(_with_included(held, self._policy().roles))
        return self._roles[key]


def _with_included(held: Iterable[str], roles: Mapping[str, Role]) -> set[str]:
    """The roles, with those that they include."""
    found, waiting = set[str](), {*held}
    while waiting:
        found |= waiting
        waiting = {included for name in waiting if name in roles for included in roles[name].includes} - found
    return found


def decider_of(actor: Actor, part: CampaignPart) -> Actor | None:
    """For whom the rules about one's own access hold: the actor, and the reviewer where an operator decides in place."""
    return part.reviewer if not actor.issuer else actor


def may_decide(actor: Actor, part: CampaignPart) -> bool:
    """Whether the part is the actor's; an operator may decide about every part."""
    # INVARIANT: no token has the issuer "", so an operator is a command that has the store.
    return not actor.issuer or actor.is_same(part.reviewer)


def check_part(actor: Actor, part: CampaignPart) -> None:
    """`CampaignRefused` if the actor may not decide about the part."""
    if not may_decide(actor, part):
        raise CampaignRefused(NOT_YOURS, reason="part")


def check_own(
    wanted: Iterable[tuple[WantedDecision, CampaignItem]],
    finding_of: Callable[[str], Finding],
    actor: Actor,
    decider: Actor | None,
    own: OwnAccess,
) -> None:
    """`CampaignRefused` names the decisions that the decider may not make, because they are about the decider's access.

    `wanted` are the decisions with the items as they are now.
    """
    if decider is None:
        return
    refused = limit_faults(
        f"{name_of(finding_of(each.item))}: {reason}"
        for each, item in wanted
        if (reason := own.refusal(finding_of(each.item), _meaning(each, item, (actor, decider)), decider))
    )
    if refused:
        raise CampaignRefused(
            "\n".join((*refused, "leave these out: somebody else has to decide about them")), reason="own"
        )


def _meaning(wanted: WantedDecision, item: CampaignItem, people: Iterable[Actor]) -> str:
    """What a decision comes to: taking back what somebody else decided keeps, because the deadline rule may keep it."""
    made = item.decision
    if wanted.decision or made is None or any(each.is_same(made.by) for each in people):
        return wanted.decision
    return "keep"


def can_sign_in(reviewer: Actor) -> bool:
    """Whether a token could name the reviewer; an issuer of "" would be an operator."""
    return bool(reviewer.issuer.strip() and reviewer.subject.strip())


def check_reviewer(reviewer: Actor) -> None:
    """`CampaignRefused` for somebody who could not sign in as a reviewer."""
    if not can_sign_in(reviewer):
        raise CampaignRefused(NO_REVIEWER, reason="reviewer")
