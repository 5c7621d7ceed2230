"""Differences between two policies, for the review of a change.

They are: changes of the catalogue other than additions at its end, what the new policy newly allows, and what it no
longer allows. A grant that only several older grants cover together counts as new.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from jwt_lp._support.validation import quote_text
from jwt_lp.permissions.grants import Permissions, is_pattern
from jwt_lp.policy.entries import Audience
from jwt_lp.policy.matching import RISKS, overlaps, parse_role_source

if TYPE_CHECKING:
    from jwt_lp._support.toml_lines import KeyPath
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.policy.entries import Client, Role
    from jwt_lp.policy.file import Policy

DEFAULT_LIFETIME: Final = 3600
"""The lifetime of a token, in seconds, that its audience allows if it sets no limit."""

DEFAULT_SIZE: Final = 4096
"""The size of a token, in characters, that its audience allows if it sets no limit."""

# The place in the policy, what is allowed, and why it was not allowed before.
_Widening: TypeAlias = "tuple[KeyPath, str, str]"


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One difference in a sentence; `place` is its path of keys in the new file or the old one."""

    place: KeyPath
    text: str


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """Changes of the catalogue other than at its end (`broken`), what is newly `allowed`, and what is `narrowed`."""

    broken: tuple[PolicyChange, ...] = ()
    allowed: tuple[PolicyChange, ...] = ()
    narrowed: tuple[PolicyChange, ...] = ()


def diff_policies(old: Policy, new: Policy) -> PolicyDiff:
    """Compare `new` with `old`. This is a pure function, and it raises no error."""
    return PolicyDiff(
        tuple(_catalogue_breaks(list(old.catalogue), list(new.catalogue))),
        tuple(PolicyChange(place, f"{what}: {why}") for place, what, why in _widenings(old, new)),
        # What the old policy allows beyond the new one.
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
        # A policy without audiences limits none: tokens for any audience may be issued, with wildcards too.
        previous = before.audiences.get(name) or Audience(name, wildcards=not before.audiences)
        if before.audiences and name not in before.audiences:
            yield ("audiences", name), f"tokens for {name}", "the audience is new"
        yield from _audience(previous, audience)
    if after.elevation:
        # Imported where a policy has such rules.
        from jwt_lp.policy.elevation_diff import elevation_widenings

        yield from elevation_widenings(before, after)


# The catalogue


def _catalogue_breaks(old: Sequence[str], new: Sequence[str]) -> Iterator[PolicyChange]:
    """Each difference between `old` and the beginning of `new`: it would change the meaning of live tokens."""
    if old and not new:
        yield PolicyChange(
            ("permissions",),
            "the catalogue was removed, so live tokens with compact permissions cannot be read: restore it",
        )
        return
    positions = {name: index for index, name in enumerate(old)}
    present = set(new)
    unmoved = _longest_ascending(positions[name] for name in new if name in positions)
    replacements: set[str] = set()
    for index, name in enumerate(old):
        if name not in present:
            replacement = next((other for other in new[index : index + 1] if other not in positions), None)
            replacements.update(filter(None, [replacement]))
            yield PolicyChange(("permissions", name), _removal_text(name, replacement))
        elif index not in unmoved:
            where = f"after {quote_text(old[index - 1])}" if index else "to the beginning"
            yield PolicyChange(("permissions", name), f"{quote_text(name)} was moved: put it back {where}")
    last = max((index for index, name in enumerate(new) if name in positions), default=0)
    for name in new[:last]:
        if name not in positions and name not in replacements:
            yield PolicyChange(
                ("permissions", name), f"{quote_text(name)} is new and precedes older entries: move it to the end"
            )


def _removal_text(name: str, replacement: str | None) -> str:
    removed, remedy = f"{quote_text(name)} was removed", "restore it in its place, with `retired = true`"
    if replacement is None:
        return f"{removed}: {remedy}"
    other = quote_text(replacement)
    return f"{removed}, and {other} has its position: {remedy}, and add {other} at the end"


def _longest_ascending(numbers: Iterable[int]) -> set[int]:
    """The longest ascending subsequence of `numbers`, which are distinct."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        index = bisect_left(ends, number)
        before[number] = ends[index - 1] if index else None
        ends[index : index + 1] = [number]
    longest: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        longest.add(last)
        last = before[last]
    return longest


def _catalogue(before: Policy, after: Policy) -> Iterator[_Widening]:
    if not before.catalogue:
        return
    if not after.catalogue:
        yield ("permissions",), "every permission exists", "no catalogue limits what is granted and issued any more"
    patterns = [*_patterns(before, after)]
    for name, entry in after.catalogue.items():
        was = before.catalogue.get(name)
        # Retired entries count here too, because live tokens still hold them.
        if was is not None and RISKS.index(entry.risk) < RISKS.index(was.risk):
            effect = "at a lower risk requests are refused later when the revocations are stale"
            why = f"it was of {was.risk} risk, and {effect}"
            yield ("permissions", name, "risk"), f"{quote_text(name)} is of {entry.risk} risk", why
        if entry.retired or (was is not None and not was.retired):
            continue
        if was is not None:
            yield ("permissions", name), f"{quote_text(name)} may be granted and issued", "it was retired"
        elif holders := [f"{text} of {holder}" for holder, text in patterns if overlaps(text, name)]:
            yield (
                ("permissions", name),
                f"{quote_text(name)}, which {', '.join(holders)} covers",
                "it is new in the catalogue",
            )


def _patterns(before: Policy, after: Policy) -> Iterator[tuple[str, str]]:
    """Each pattern that is not new itself, with its holder."""
    for kind, olds, news in (("role", before.roles, after.roles), ("client", before.clients, after.clients)):
        for name, holder in news.items():
            held = _permissions_of(olds.get(name))
            for grant in holder.grants:
                if is_pattern(grant.text) and held.find_containing(grant.text) is not None:
                    yield f"{kind} {name}", grant.text


# Roles, clients and audiences


def _permissions_of(holder: Role | Client | None, more: Iterable[Grant] = ()) -> Permissions:
    return Permissions.of([*(holder.grants if holder else ()), *more])


def _role(was: Role | None, role: Role, after: Policy) -> Iterator[_Widening]:
    held = _permissions_of(was)
    for grant in role.grants:
        if held.find_containing(grant.text) is None:
            through = [
                name for name in role.includes if any(grant.text == other.text for other in after.grants([name]))
            ]
            what = f"role {role.name} grants {grant.text}{f' through role {through[0]}' if through else ''}"
            why = "the role is new" if was is None else "none of its grants covered that before"
            yield ("roles", role.name, "includes" if through else "grants"), what, why
    known = [parse_role_source(source) for source in (was.sources if was else ())]
    for source in role.sources:
        entry = parse_role_source(source)
        if entry is not None and entry not in known:
            # A ceiling grants nothing by itself.
            is_ceiling = entry[1].startswith("ceiling:")
            effect = (
                f"raises the ceiling to what role {role.name} grants" if is_ceiling else f"confers role {role.name}"
            )
            yield ("roles", role.name, "from"), f"{quote_text(source)} {effect}", "the entry is new"


def _client(before: Policy, client: Client, after: Policy) -> Iterator[_Widening]:
    was = before.clients.get(client.name)
    held = _permissions_of(was, before.grants(was.roles if was else ()))
    why = "the client is new" if was is None else "none of its grants covered that before"
    for grant in client.grants:
        if held.find_containing(grant.text) is None:
            yield ("clients", client.name, "grants"), f"client {client.name} holds {grant.text}", why
    for role in client.roles:
        more = [grant.text for grant in after.grants([role]) if held.find_containing(grant.text) is None]
        # New grants of a role that the client already had are reported with the role.
        if more and not (was and role in was.roles):
            yield ("clients", client.name, "roles"), f"client {client.name} holds {', '.join(more)} by role {role}", why


def _audience(was: Audience, audience: Audience) -> Iterator[_Widening]:
    name = audience.name
    for target in audience.may_call:
        if target not in was.may_call:
            what = f"a token for {name} may be narrowed to one for {target}"
            yield ("audiences", name, "may_call"), what, "the entry is new"
    for claim in audience.claims:
        if claim not in was.claims:
            yield (
                ("audiences", name, "claims"),
                f"tokens for {name} may hold the claim {quote_text(claim)}",
                "the entry is new",
            )
    if audience.wildcards and not was.wildcards:
        yield ("audiences", name, "wildcards"), f"tokens for {name} may hold wildcards", "they might not before"
    limits = (
        ("max_lifetime", audience.max_lifetime, was.max_lifetime, DEFAULT_LIFETIME, "live {} seconds"),
        ("max_size", audience.max_size, was.max_size, DEFAULT_SIZE, "have {} characters"),
    )
    for key, now, then, default, what in limits:
        if (now or default) > (then or default):
            allowed = what.format(now or default)
            yield ("audiences", name, key), f"tokens for {name} may {allowed}", f"it was {then or default}"
