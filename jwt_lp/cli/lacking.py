"""Why is this permission not held, and what would change that?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, cast

from jwt_lp._entries import meets
from jwt_lp._tables import nearest
from jwt_lp.cli.output import brief, count
from jwt_lp.errors import TemplateError
from jwt_lp.permissions import Grant, Permissions, is_pattern
from jwt_lp.requirements import Binding, Facts, Requirement, Term
from jwt_lp.templates import claim_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.claims import AccessToken
    from jwt_lp.settings import IssuerSettings, Settings

_SHOWN: Final = 3
_ALIKE: Final = 0.75
_SEPARATORS: Final = re.compile(r"[:./_-]")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One permission or binding of a requirement, as it is held or not.

    `asked` is what was asked for, filled where it was a template; `grant` is what served it; `why` and `remedies`
    are there for what is not held.
    """

    written: str
    asked: str
    held: bool
    grant: Grant | None = None
    why: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


def leaves(
    requirement: Requirement, facts: Facts, token: AccessToken, issuer: IssuerSettings, settings: Settings
) -> list[Leaf]:
    """Hold every part of `requirement` against `facts`, one by one."""
    found: list[Leaf] = []
    for part in requirement.leaves():
        outcome = part.hold(facts)
        if outcome.satisfied:
            grant = outcome.used[0] if outcome.used else None
            found.append(Leaf(str(part), _asked(part, facts), held=True, grant=grant))
        elif isinstance(part, Term):
            found.append(_lacked(part, facts, token, issuer, settings))
        else:
            found.append(_unequal(cast("Binding", part), facts))
    return found


def _asked(part: Requirement, facts: Facts) -> str:
    return part.fill(facts.params) if isinstance(part, Term) and part.parts else str(part)


def _unequal(binding: Binding, facts: Facts) -> Leaf:
    paths = dict(binding.paths)
    path = paths.get(facts.issuer, paths.get("", ()))
    name = ".".join(path)
    if not path:
        why, remedy = f"it names no claim for {facts.issuer}", "name one in where= or BIND"
    elif claim_at(facts.claims, path) is None:
        why, remedy = f"the token has no claim {name}", f"have the issuer send {name}"
    else:
        why = f"the claim {name} is there and is not equal to the route's {binding.parameter}, to the letter"
        remedy = f"call it with a {binding.parameter} that the token's subject may use"
    return Leaf(str(binding), str(binding), held=False, why=(brief(why),), remedies=(brief(remedy),))


def _lacked(term: Term, facts: Facts, token: AccessToken, issuer: IssuerSettings, settings: Settings) -> Leaf:
    written = str(term)
    try:
        asked = _asked(term, facts)
    except TemplateError as error:
        remedy = (
            "correct the declaration" if error.configured else "write {name!e} for values that are no plain segment"
        )
        return Leaf(written, written, held=False, why=(brief(error),), remedies=(remedy,))
    granted = Permissions.of(token.permissions).serving(asked)
    if granted is not None:
        cut, remedy = _cut(asked, granted, issuer)
        return Leaf(written, asked, held=False, why=(cut,), remedies=(remedy,))
    why = (*_near(asked, token), *_sources(token, issuer), *_catalogue(asked, settings))
    return Leaf(written, asked, held=False, why=why, remedies=tuple(_remedies(asked, token, issuer, settings)))


def _cut(asked: str, granted: Grant, issuer: IssuerSettings) -> tuple[str, str]:
    by = f"{granted.text} ({granted.source}) grants it, but"
    if issuer.ceiling is not None and asked not in issuer.ceiling:
        return f"{by} the issuer's CEILING does not cover it", f'widen CEILING of {issuer.name} by "{asked}"'
    claims = ", ".join(dict.fromkeys(map(str, issuer.profile.ceiling)))
    return (
        f"{by} the ceiling of this profile ({claims}) does not cover it",
        issuer.profile.remedy("ceiling", asked) or f"have the issuer put {asked} there too",
    )


def _near(asked: str, token: AccessToken) -> list[str]:
    ranked = sorted(
        ((*found, grant.text) for grant in token.permissions if (found := _nearness(grant, asked)) is not None),
        key=lambda each: (each[0], each[2]),
    )
    return [brief(f"nearest is {text}: {why}") for _, why, text in ranked[:_SHOWN]]


def _nearness(grant: Grant, asked: str) -> tuple[float, str] | None:
    """How far off a grant is (less is nearer), and why it does not cover; None where it is about something else."""
    if "*" in grant.text:
        return _off_pattern(grant, asked)
    mine, theirs = grant.text.split(":"), asked.split(":")
    if grant.text.casefold() == asked.casefold():
        return 1, "upper and lower case are different letters"
    if mine == theirs[: len(mine)]:
        return 2, f"a grant covers itself only; {grant.text}:** would cover all below it"
    if sorted(mine) == sorted(theirs):
        return 2, "the same segments in another order"
    if _SEPARATORS.split(grant.text.casefold()) == _SEPARATORS.split(asked.casefold()):
        return 2, "the same words, written with other separators"
    alike = SequenceMatcher(None, grant.text, asked).ratio()
    return (4 - alike, "another permission") if alike >= _ALIKE else None


def _off_pattern(grant: Grant, asked: str) -> tuple[float, str] | None:
    if not is_pattern(grant.text):
        return (
            None if _head(grant.text) != _head(asked) else (3, "no pattern: a wildcard is a whole segment, ** the last")
        )
    mine, theirs = grant.text.split(":"), asked.split(":")
    if not grant.pattern:
        covers = asked in Permissions.of([grant.text], patterns=True)
        return (0, "it would cover this, but * is an ordinary character in this issuer's tokens") if covers else None
    if not all(one in {"*", "**", other} for one, other in zip(mine, theirs, strict=False)):
        return (3, "another segment") if _head(grant.text) == _head(asked) else None
    over = len(theirs) - len(mine)
    if mine[-1] == "**":
        return 1, "** stands for one segment or more, and here is none"
    if over > 0:
        wider = ":".join((*mine[:-1], "**"))
        end = f"; {wider} would cover it" if mine[-1] == "*" else ""
        return over, f"{_segments(over)} too many for it: * stands for exactly one{end}"
    return -over, f"{_segments(-over)} too few for it: * stands for exactly one"


def _head(permission: str) -> str:
    return permission.partition(":")[0]


def _segments(number: int) -> str:
    return "one segment" if number == 1 else f"{number} segments"


def _sources(token: AccessToken, issuer: IssuerSettings) -> Iterator[str]:
    app = token.app
    looked = [
        f"{source} ({'there' if source.path[0] in token.claims else 'absent'})"
        for source in dict.fromkeys(issuer.profile.sources)
        if source.counts(app=app)
    ]
    yield f"grants were looked for in {', '.join(looked) or 'no claim: the profile has none for this kind of token'}"
    if token.ignored:
        yield f"ignored: {count(token.ignored, 'role')} of the token that the policy does not list"


def _catalogue(asked: str, settings: Settings) -> Iterator[str]:
    known = settings.policy.catalogue
    if known and not any(meets(asked, name) for name in known):
        yield f"the policy's catalogue has no {brief(asked)}{nearest(asked, known)}"


def _remedies(asked: str, token: AccessToken, issuer: IssuerSettings, settings: Settings) -> Iterator[str]:
    yield f"have the issuer grant {asked}"
    if any(
        grant.pattern is False and asked in Permissions.of([grant.text], patterns=True) for grant in token.permissions
    ):
        yield f"or set PATTERNS = True for {issuer.name}, if it may grant patterns"
    roles = [role for role in settings.policy.roles.values() if asked in Permissions.of(role.grants)]
    for role in roles[:_SHOWN]:
        outside = ", ".join(role.sources) or "nothing outside the policy"
        how = f"roles of the token: {role.name}" if issuer.own else f"from = [{outside}]"
        yield f"or give the subject the policy's role {role.name}, which grants it ({how})"
