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

from jwt_lp._entries import RISKS, meets
from jwt_lp._tables import show
from jwt_lp.permissions import Permissions, is_pattern
from jwt_lp.policy import Audience, Client, Policy, Role, listed

if TYPE_CHECKING:
    from jwt_lp._toml import Place
    from jwt_lp.permissions import Grant

USUAL_LIFETIME: Final = 3600
"""How many seconds a token may live where its audience says nothing."""

USUAL_SIZE: Final = 4096
"""How many characters it may have."""

# Where it stands, what is allowed, and why it was not before.
_Finding: TypeAlias = "tuple[Place, str, str]"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference in a sentence; `place` are the keys under which it stands, in the new file or the old one."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """`broken` says how the catalogue was changed other than at its end, `allowed` and `narrowed` what is different."""

    broken: tuple[Change, ...] = ()
    allowed: tuple[Change, ...] = ()
    narrowed: tuple[Change, ...] = ()


def compare(old: Policy, new: Policy) -> Changes:
    """Hold `new` against `old`. Pure, and no error: both have been read already."""
    return Changes(
        tuple(_broken(list(old.catalogue), list(new.catalogue))),
        tuple(Change(place, f"{what}: {why}") for place, what, why in _beyond(old, new)),
        # What the old policy has beyond the new one.
        tuple(Change(place, f"no longer: {what}") for place, what, _ in _beyond(new, old)),
    )


def _beyond(before: Policy, after: Policy) -> Iterator[_Finding]:
    yield from _catalogue(before, after)
    for name, role in after.roles.items():
        yield from _role(before.roles.get(name), role, after)
    for client in after.clients.values():
        yield from _client(before, client, after)
    if before.audiences and not after.audiences:
        yield ("audiences",), "tokens for any audience", "the policy named the audiences, and names none now"
    for name, audience in after.audiences.items():
        # A policy that names no audience bounds none: any may be asked for, wildcards too.
        known = before.audiences.get(name) or Audience(name, wildcards=not before.audiences)
        if before.audiences and name not in before.audiences:
            yield ("audiences", name), f"tokens for {name}", "the audience is new"
        yield from _audience(known, audience)


# The catalogue


def _broken(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Each way in which `new` does not begin with `old`: positions in live tokens would mean something else."""
    if old and not new:
        yield Change(
            ("permissions",),
            "there is no catalogue any more, so live tokens that hold positions in it cannot be read: write it again",
        )
        return
    places = {name: at for at, name in enumerate(old)}
    present = set(new)
    kept = [places[name] for name in new if name in places]
    steady = _ascending(kept)
    instead: set[str] = set()
    for at, name in enumerate(old):
        if name not in present:
            other = next((each for each in new[at : at + 1] if each not in places), None)
            instead.update(filter(None, [other]))
            yield Change(("permissions", name), _gone(name, other))
        elif at not in steady:
            where = f"after {show(old[at - 1])}" if at else "to the beginning"
            yield Change(("permissions", name), f"{show(name)} was moved: put it back {where}")
    last = max((at for at, name in enumerate(new) if name in places), default=0)
    for name in new[:last]:
        if name not in places and name not in instead:
            yield Change(("permissions", name), f"{show(name)} is new and stands before older ones: move it to the end")


def _gone(name: str, other: str | None) -> str:
    again = "write it again where it stood, with `retired = true`"
    if other is None:
        return f"{show(name)} was removed: {again}"
    return f"{show(name)} was removed, and {show(other)} has its position: {again}, and add {show(other)} at the end"


def _ascending(numbers: Iterable[int]) -> set[int]:
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


def _catalogue(before: Policy, after: Policy) -> Iterator[_Finding]:
    if not before.catalogue:
        return
    if not after.catalogue:
        yield ("permissions",), "every permission exists", "no catalogue bounds any more what is granted and issued"
    patterns = [*_patterns(before, after)]
    for name, entry in after.catalogue.items():
        was = before.catalogue.get(name)
        # What is retired counts here too: live tokens hold it still.
        if was is not None and RISKS.index(entry.risk) < RISKS.index(was.risk):
            why = f"it was of {was.risk} risk, and what is of less is refused later while revocation cannot be asked"
            yield ("permissions", name, "risk"), f"{show(name)} is of {entry.risk} risk", why
        if entry.retired or (was is not None and not was.retired):
            continue
        if was is not None:
            yield ("permissions", name), f"{show(name)} may be granted and issued", "it was retired"
        elif holders := [f"{text} of {who}" for who, text in patterns if meets(text, name)]:
            yield (
                ("permissions", name),
                f"{show(name)}, which {', '.join(holders)} covers",
                "it is new in the catalogue",
            )


def _patterns(before: Policy, after: Policy) -> Iterator[tuple[str, str]]:
    """Each pattern that is not new itself, with who holds it."""
    for kind, olds, news in (("role", before.roles, after.roles), ("client", before.clients, after.clients)):
        for name, each in news.items():
            held = _held(olds.get(name))
            for grant in each.grants:
                if is_pattern(grant.text) and held.containing(grant.text) is not None:
                    yield f"{kind} {name}", grant.text


# Who holds what


def _held(holder: Role | Client | None, more: Iterable[Grant] = ()) -> Permissions:
    return Permissions.of([*(holder.grants if holder else ()), *more])


def _role(was: Role | None, role: Role, after: Policy) -> Iterator[_Finding]:
    held = _held(was)
    for grant in role.grants:
        if held.containing(grant.text) is None:
            through = [each for each in role.includes if any(grant.text == one.text for one in after.grants([each]))]
            what = f"role {role.name} grants {grant.text}{f' through role {through[0]}' if through else ''}"
            why = "the role is new" if was is None else "no grant of it held that before"
            yield ("roles", role.name, "includes" if through else "grants"), what, why
    known = [listed(each) for each in (was.sources if was else ())]
    for source in role.sources:
        entry = listed(source)
        if entry is not None and entry not in known:
            # A ceiling grants nothing by itself.
            raises = entry[1].startswith("ceiling:")
            does = (
                f"raises what may be reached to what role {role.name} grants" if raises else f"confers role {role.name}"
            )
            yield ("roles", role.name, "from"), f"{show(source)} {does}", "the entry is new"


def _client(before: Policy, client: Client, after: Policy) -> Iterator[_Finding]:
    was = before.clients.get(client.name)
    held = _held(was, before.grants(was.roles if was else ()))
    why = "the client is new" if was is None else "nothing that it had held that before"
    for grant in client.grants:
        if held.containing(grant.text) is None:
            yield ("clients", client.name, "grants"), f"client {client.name} holds {grant.text}", why
    for role in client.roles:
        more = [grant.text for grant in after.grants([role]) if held.containing(grant.text) is None]
        # What a role grants that the client had already stands with the role.
        if more and not (was and role in was.roles):
            yield ("clients", client.name, "roles"), f"client {client.name} holds {', '.join(more)} by role {role}", why


def _audience(was: Audience, audience: Audience) -> Iterator[_Finding]:
    name = audience.name
    for each in audience.may_call:
        if each not in was.may_call:
            what = f"a token for {name} may be narrowed to one for {each}"
            yield ("audiences", name, "may_call"), what, "the entry is new"
    for each in audience.claims:
        if each not in was.claims:
            yield (
                ("audiences", name, "claims"),
                f"tokens for {name} may hold the claim {show(each)}",
                "the entry is new",
            )
    if audience.wildcards and not was.wildcards:
        yield ("audiences", name, "wildcards"), f"tokens for {name} may hold wildcards", "they might not before"
    limits = (
        ("max_lifetime", audience.max_lifetime, was.max_lifetime, USUAL_LIFETIME, "live {} seconds"),
        ("max_size", audience.max_size, was.max_size, USUAL_SIZE, "have {} characters"),
    )
    for key, now, then, usual, what in limits:
        if (now or usual) > (then or usual):
            said = what.format(now or usual)
            yield ("audiences", name, key), f"tokens for {name} may {said}", f"it was {then or usual}"
