"""Facts about a role: its definition, its members, and how many of them use what it grants."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.holder_facts import ROWS, past_decisions
from jwt_lp.console.pictures.matrix import build_matrix
from jwt_lp.console.summaries import latest_review, matrix_rows
from jwt_lp.stores.campaigns import ItemFilter
from jwt_lp.stores.lookups import RevocationFilter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.console.holder_facts import PastDecision
    from jwt_lp.console.pictures.matrix import Matrix
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.policy.entries import Role
    from jwt_lp.stores import Store, StoredRevocation
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign
    from jwt_lp.stores.lookups import FoundHolder, HolderCount

_MOST_FINDINGS: Final = 300


class RoleGrant(NamedTuple):
    """A grant of a role. `members` and `users` are those of the latest review, None where it does not say."""

    grant: str
    risk: str
    members: int | None
    users: int | None


class RolePart(NamedTuple):
    """The part of a campaign in which the role is decided about, and by whom; None for nobody."""

    campaign: Campaign
    part: str
    reviewer: Actor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """What is known of a role. `role` is its definition, None if the policy has none.

    `grants` is one page of the `granted` ones. `members` is one page of them; `more` says that others follow. `review` is the campaign whose review counted the use.
    """

    name: str
    role: Role | None
    grants: tuple[RoleGrant, ...]
    granted: int
    included_by: tuple[str, ...]
    members: tuple[FoundHolder, ...]
    more: bool
    count: HolderCount
    review: Campaign | None
    matrix: Matrix | None
    parts: tuple[RolePart, ...]
    revocations: tuple[StoredRevocation, ...]
    decisions: tuple[PastDecision, ...]

    @property
    def is_known(self) -> bool:
        """Whether the policy or the store knows the role."""
        return bool(self.role or self.count.number or self.revocations or self.decisions)


def read_role(console: ConsoleState, name: str, *, page: int = 0, after: FoundHolder | None = None) -> RoleFacts:
    """What the policy and the store know of a role; `page` is that of its grants, and the members are behind `after`."""
    store, policy = console.store, console.policy
    role = policy.roles.get(name)
    members = store.role_members(name, limit=ROWS + 1, after=after)
    review = latest_review(store.campaigns())
    counts = _counts(store, review, name)
    texts = [] if role is None else [grant.text for grant in role.grants]
    names = sorted({*texts, *counts})
    decisions = tuple(past_decisions(store, ("role", "", name)))
    return RoleFacts(
        name=name,
        role=role,
        grants=tuple(
            RoleGrant(grant, policy.risk(grant), *counts.get(grant, (None, None)))
            for grant in names[page * ROWS : (page + 1) * ROWS]
        ),
        granted=len(names),
        included_by=tuple(sorted(each.name for each in policy.roles.values() if name in each.includes)),
        members=members[:ROWS],
        more=len(members) > ROWS,
        count=store.count_role_members(name),
        review=review,
        matrix=build_matrix((name, grant, *numbers) for grant, numbers in counts.items()),
        parts=tuple(_parts(store, decisions)),
        revocations=tuple(islice(_revocations(store, name), ROWS)),
        decisions=decisions,
    )


def _revocations(store: Store, role: str) -> Iterator[StoredRevocation]:
    """The entries in force about a role: one look-up for each issuer, because an index needs the issuer."""
    for issuer in store.issuers():
        yield from store.revocation_page(
            RevocationFilter(lifted=False, of="role", issuer=issuer, name=role, limit=ROWS)
        )


def _counts(store: Store, review: Campaign | None, role: str) -> Mapping[str, tuple[int, int]]:
    """The members and the users of each grant of a role, as far as a review counted them."""
    if review is None:
        return {}
    counts = {grant: (members, users) for name, grant, members, users in matrix_rows(review.summary) if name == role}
    items = store.campaign_items(ItemFilter(campaign=review.id, holder=("role", "", role), limit=_MOST_FINDINGS))
    for item in items:
        if item.finding.get("kind") == "role":
            counts[str(item.finding["grant"])] = (item.finding["members"], item.finding["users"])
    return counts


def _parts(store: Store, decisions: tuple[PastDecision, ...]) -> Iterator[RolePart]:
    """Who decides about a role in the latest campaign that asks about it."""
    if not decisions:
        return
    campaign = decisions[0].campaign
    named = {each.item.part for each in decisions if each.campaign.id == campaign.id}
    parts = (each for each in store.campaign_parts(campaign.id) if each.name in named)
    for part in islice(parts, ROWS):
        yield RolePart(campaign, part.name, part.reviewer)
