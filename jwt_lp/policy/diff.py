"""What does this policy allow that the other did not?

Two policies are held against each other, for whoever reviews a change: whether the catalogue was only added to at
its end, what the new policy newly allows, and what it no longer does. Where a grant is held only by several others
together, it counts as new.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from jwt_lp._support.validation import quote_text
from jwt_lp.permissions.grants import Permissions, is_pattern
from jwt_lp.policy.file import Audience, Client, Policy, Role, parse_role_source
from jwt_lp.policy.schema import RISKS, overlaps

if TYPE_CHECKING:
    from jwt_lp._support.toml_lines import KeyPath
    from jwt_lp.permissions.grants import Grant

DEFAULT_LIFETIME: Final = 3600
"""How many seconds a token may live where its audience says nothing."""

DEFAULT_SIZE: Final = 4096
"""How many characters it may have."""

# Where it stands, what is allowed, and why it was not before.
_Widening: TypeAlias = "tuple[KeyPath, str, str]"


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One difference in a sentence; `place` are the keys under which it stands, in the new file or the old one."""

    place: KeyPath
    text: str


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """`broken` says how the catalogue was changed other than at its end, `allowed` and `narrowed` what is different."""

    broken: tuple[PolicyChange, ...] = ()
    allowed: tuple[PolicyChange, ...] = ()
    narrowed: tuple[PolicyChange, ...] = ()


def diff_policies(old: Policy, new: Policy) -> PolicyDiff:
    """Hold `new` against `old`. Pure, and no error: both have been read already."""
    return PolicyDiff(
        tuple(_catalogue_breaks(list(old.catalogue), list(new.catalogue))),
        tuple(PolicyChange(place, f"{what}: {why}") for place, what, why in _widenings(old, new)),
        # What the old policy has beyond the new one.
        tuple(PolicyChange(place, f"no longer: {what}") for place, what, _ in _widenings(new, old)),
    )


def _widenings(before: Policy, after: Policy) -> Iterator[_Widening]:
    yield from _catalogue(before, after)
    for name, role in after.roles.items():
        yield from _role(before.roles.get(name), role, after)
    for client in after.clients.values():
        yield from _client(before, client, after)
    if before.audiences and not after.audiences:
        yield ("audiences",), "tokens for any audience", "the policy named audiences before, and names none now"
    for name, audience in after.audiences.items():
        # A policy that names no audience bounds none: any may be asked for, wildcards too.
        known = before.audiences.get(name) or Audience(name, wildcards=not before.audiences)
        if before.audiences and name not in before.audiences:
            yield ("audiences", name), f"tokens for {name}", "the audience is new"
        yield from _audience(known, audience)


# The catalogue


def _catalogue_breaks(old: Sequence[str], new: Sequence[str]) -> Iterator[PolicyChange]:
    """Each way in which `new` does not begin with `old`: positions in live tokens would mean something else."""
    if old and not new:
        yield PolicyChange(
            ("permissions",),
            "the catalogue was removed, so live tokens with compact permissions cannot be read: restore it",
        )
        return
    places = {name: at for at, name in enumerate(old)}
    present = set(new)
    kept = [places[name] for name in new if name in places]
    steady = _longest_ascending(kept)
    instead: set[str] = set()
    for at, name in enumerate(old):
        if name not in present:
            other = next((each for each in new[at : at + 1] if each not in places), None)
            instead.update(filter(None, [other]))
            yield PolicyChange(("permissions", name), _removal_text(name, other))
        elif at not in steady:
            where = f"after {quote_text(old[at - 1])}" if at else "to the beginning"
            yield PolicyChange(("permissions", name), f"{quote_text(name)} was moved: put it back {where}")
    last = max((at for at, name in enumerate(new) if name in places), default=0)
    for name in new[:last]:
        if name not in places and name not in instead:
            yield PolicyChange(
                ("permissions", name), f"{quote_text(name)} is new and precedes older entries: move it to the end"
            )


def _removal_text(name: str, other: str | None) -> str:
    again = "restore it in its place, with `retired = true`"
    if other is None:
        return f"{quote_text(name)} was removed: {again}"
    return f"{quote_text(name)} was removed, and {quote_text(other)} has its position: {again}, and add {quote_text(other)} at the end"


def _longest_ascending(numbers: Iterable[int]) -> set[int]:
    """The longest run among `numbers`, none of them twice, that ascends in their order."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(ends, number)
        before[number] = ends[at - 1] if at else None
        ends[at : at + 1] = [number]
    found: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def _catalogue(before: Policy, after: Policy) -> Iterator[_Widening]:
    if not before.catalogue:
        return
    if not after.catalogue:
        yield ("permissions",), "every permission exists", "no catalogue limits what is granted and issued any more"
    patterns = [*_patterns(before, after)]
    for name, entry in after.catalogue.items():
        was = before.catalogue.get(name)
        # What is retired counts here too: live tokens hold it still.
        if was is not None and RISKS.index(entry.risk) < RISKS.index(was.risk):
            why = f"it was of {was.risk} risk, and at a lower risk requests are refused later when the revocations are stale"
            yield ("permissions", name, "risk"), f"{quote_text(name)} is of {entry.risk} risk", why
        if entry.retired or (was is not None and not was.retired):
            continue
        if was is not None:
            yield ("permissions", name), f"{quote_text(name)} may be granted and issued", "it was retired"
        elif holders := [f"{text} of {who}" for who, text in patterns if overlaps(text, name)]:
            yield (
                ("permissions", name),
                f"{quote_text(name)}, which {', '.join(holders)} covers",
                "it is new in the catalogue",
            )


def _patterns(before: Policy, after: Policy) -> Iterator[tuple[str, str]]:
    """Each pattern that is not new itself, with who holds it."""
    for kind, olds, news in (("role", before.roles, after.roles), ("client", before.clients, after.clients)):
        for name, each in news.items():
            held = _permissions_of(olds.get(name))
            for grant in each.grants:
                if is_pattern(grant.text) and held.find_containing(grant.text) is not None:
                    yield f"{kind} {name}", grant.text


# Who holds what


def _permissions_of(holder: Role | Client | None, more: Iterable[Grant] = ()) -> Permissions:
    return Permissions.of([*(holder.grants if holder else ()), *more])


def _role(was: Role | None, role: Role, after: Policy) -> Iterator[_Widening]:
    held = _permissions_of(was)
    for grant in role.grants:
        if held.find_containing(grant.text) is None:
            through = [each for each in role.includes if any(grant.text == one.text for one in after.grants([each]))]
            what = f"role {role.name} grants {grant.text}{f' through role {through[0]}' if through else ''}"
            why = "the role is new" if was is None else "none of its grants covered that before"
            yield ("roles", role.name, "includes" if through else "grants"), what, why
    known = [parse_role_source(each) for each in (was.sources if was else ())]
    for source in role.sources:
        entry = parse_role_source(source)
        if entry is not None and entry not in known:
            # A ceiling grants nothing by itself.
            raises = entry[1].startswith("ceiling:")
            does = f"raises the ceiling to what role {role.name} grants" if raises else f"confers role {role.name}"
            yield ("roles", role.name, "from"), f"{quote_text(source)} {does}", "the entry is new"


def _client(before: Policy, client: Client, after: Policy) -> Iterator[_Widening]:
    was = before.clients.get(client.name)
    held = _permissions_of(was, before.grants(was.roles if was else ()))
    why = "the client is new" if was is None else "none of its grants covered that before"
    for grant in client.grants:
        if held.find_containing(grant.text) is None:
            yield ("clients", client.name, "grants"), f"client {client.name} holds {grant.text}", why
    for role in client.roles:
        more = [grant.text for grant in after.grants([role]) if held.find_containing(grant.text) is None]
        # What a role grants that the client had already stands with the role.
        if more and not (was and role in was.roles):
            yield ("clients", client.name, "roles"), f"client {client.name} holds {', '.join(more)} by role {role}", why


def _audience(was: Audience, audience: Audience) -> Iterator[_Widening]:
    name = audience.name
    for each in audience.may_call:
        if each not in was.may_call:
            what = f"a token for {name} may be narrowed to one for {each}"
            yield ("audiences", name, "may_call"), what, "the entry is new"
    for each in audience.claims:
        if each not in was.claims:
            yield (
                ("audiences", name, "claims"),
                f"tokens for {name} may hold the claim {quote_text(each)}",
                "the entry is new",
            )
    if audience.wildcards and not was.wildcards:
        yield ("audiences", name, "wildcards"), f"tokens for {name} may hold wildcards", "they might not before"
    limits = (
        ("max_lifetime", audience.max_lifetime, was.max_lifetime, DEFAULT_LIFETIME, "live {} seconds"),
        ("max_size", audience.max_size, was.max_size, DEFAULT_SIZE, "have {} characters"),
    )
    for key, now, then, usual, what in limits:
        if (now or usual) > (then or usual):
            said = what.format(now or usual)
            yield ("audiences", name, key), f"tokens for {name} may {said}", f"it was {then or usual}"
