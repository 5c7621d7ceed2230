"""Missing permissions and bindings of a requirement, with reasons and remedies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, cast

from jwt_lp._support.validation import did_you_mean
from jwt_lp.cli.output import brief, count
from jwt_lp.errors import TemplateError
from jwt_lp.permissions.grants import Denial, Grant, Permissions, is_pattern
from jwt_lp.permissions.requirements import Binding, EvaluationContext, PermissionRequirement, Requirement
from jwt_lp.permissions.templates import claim_at
from jwt_lp.policy.matching import overlaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.guard.settings import IssuerSettings, Settings
    from jwt_lp.tokens.claims import AccessToken

_MAX_SHOWN: Final = 3
_MIN_SIMILARITY: Final = 0.75
_SEPARATORS: Final = re.compile(r"[:./_-]")


@dataclass(frozen=True, slots=True)
class AtomResult:
    """One permission or binding of a requirement, and whether the token holds it.

    `written` is its declaration and `requested` the same with the template filled. `grant` is the grant that covers it.
    `why` and `remedies` are empty if it is held. `revoked` says that a deny entry refuses it.
    """

    written: str
    requested: str
    held: bool
    grant: Grant | None = None
    why: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    revoked: bool = False


def evaluate_atoms(
    requirement: Requirement, facts: EvaluationContext, token: AccessToken, issuer: IssuerSettings, settings: Settings
) -> list[AtomResult]:
    """Evaluate each atom of `requirement` against `facts`."""
    results: list[AtomResult] = []
    for atom in requirement.atoms():
        outcome = atom.evaluate(facts)
        if outcome.satisfied:
            grant = outcome.used[0] if outcome.used else None
            results.append(AtomResult(str(atom), _requested_text(atom, facts), held=True, grant=grant))
        elif isinstance(atom, PermissionRequirement):
            results.append(_permission_failure(atom, facts, token, issuer, settings))
        else:
            results.append(_binding_failure(cast("Binding", atom), facts))
    return results


def _requested_text(atom: Requirement, facts: EvaluationContext) -> str:
    return atom.fill(facts.params) if isinstance(atom, PermissionRequirement) and atom.parts else str(atom)


def _binding_failure(binding: Binding, facts: EvaluationContext) -> AtomResult:
    paths = dict(binding.paths)
    path = paths.get(facts.issuer, paths.get("", ()))
    name = ".".join(path)
    if not path:
        why, remedy = f"it names no claim for {facts.issuer}", "name one in where= or BIND"
    elif claim_at(facts.claims, path) is None:
        why, remedy = f"the token has no claim {name}", f"have the issuer send {name}"
    else:
        why = f"the claim {name} is present but does not equal the route's {binding.parameter} exactly"
        remedy = f"call it with a {binding.parameter} that the token's subject may use"
    return AtomResult(str(binding), str(binding), held=False, why=(brief(why),), remedies=(brief(remedy),))


def _permission_failure(
    term: PermissionRequirement,
    facts: EvaluationContext,
    token: AccessToken,
    issuer: IssuerSettings,
    settings: Settings,
) -> AtomResult:
    written = str(term)
    try:
        requested = _requested_text(term, facts)
    except TemplateError as error:
        remedy = (
            "correct the declaration" if error.configured else "write {name!e} for values that are not a plain segment"
        )
        return AtomResult(written, written, held=False, why=(brief(error),), remedies=(remedy,))
    denial = facts.held.denial_for(requested)
    if denial is not None:
        revoked = _revoked_reason(requested, denial, token, issuer, settings)
        return AtomResult(written, requested, held=False, why=revoked[0], remedies=revoked[1], revoked=True)
    granted = Permissions.of(token.permissions).grant_for(requested)
    if granted is not None:
        cut, remedy = _ceiling_reason(requested, granted, issuer)
        return AtomResult(written, requested, held=False, why=(cut,), remedies=(remedy,))
    why = (*_nearest_grants(requested, token), *_source_lines(token, issuer), *_catalogue_lines(requested, settings))
    return AtomResult(
        written, requested, held=False, why=why, remedies=tuple(_remedies(requested, token, issuer, settings))
    )


def _revoked_reason(
    requested: str, denial: Denial, token: AccessToken, issuer: IssuerSettings, settings: Settings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why a deny entry refuses a permission, and the remedies."""
    why = f"it was revoked: the entry {denial.id} refuses it{', except by elevation' if denial.standing else ''}"
    lift = "see jwt-lp revocations, and lift the entry if the permission is needed for long"
    rule = settings.policy.elevation_rule(requested)
    may_ask = rule is not None and rule.may_ask(token.subject, token.roles, token.issuer_name)
    usable = issuer.own or requested in Permissions.of(issuer.elevation, patterns=True)
    if denial.standing and may_ask and usable:
        return (brief(why),), (brief(f"ask for an elevation: jwt-lp elevate request {requested}"), lift)
    return (brief(why),), (lift,)


def _ceiling_reason(requested: str, granted: Grant, issuer: IssuerSettings) -> tuple[str, str]:
    start = f"{granted.text} ({granted.source}) grants it, but"
    if issuer.ceiling is not None and requested not in issuer.ceiling:
        return f"{start} the issuer's CEILING does not cover it", f'widen CEILING of {issuer.name} by "{requested}"'
    claims = ", ".join(dict.fromkeys(map(str, issuer.profile.ceiling)))
    return (
        f"{start} the ceiling of this profile ({claims}) does not cover it",
        issuer.profile.remedy("ceiling", requested) or f"have the issuer put {requested} there too",
    )


def _nearest_grants(requested: str, token: AccessToken) -> list[str]:
    ranked = sorted(
        (
            (*distance, grant.text)
            for grant in token.permissions
            if (distance := _distance(grant, requested)) is not None
        ),
        key=lambda entry: (entry[0], entry[2]),
    )
    return [brief(f"nearest is {text}: {why}") for _, why, text in ranked[:_MAX_SHOWN]]


def _distance(grant: Grant, requested: str) -> tuple[float, str] | None:
    """The distance of a grant (smaller is nearer), and why it does not cover; None for an unrelated grant."""
    if "*" in grant.text:
        return _pattern_distance(grant, requested)
    held, wanted = grant.text.split(":"), requested.split(":")
    if grant.text.casefold() == requested.casefold():
        return 1, "upper and lower case are different letters"
    if held == wanted[: len(held)]:
        return 2, f"a grant covers only itself; {grant.text}:** would cover everything below it"
    if sorted(held) == sorted(wanted):
        return 2, "the same segments in another order"
    if _SEPARATORS.split(grant.text.casefold()) == _SEPARATORS.split(requested.casefold()):
        return 2, "the same words, written with other separators"
    similarity = SequenceMatcher(None, grant.text, requested).ratio()
    return (4 - similarity, "another permission") if similarity >= _MIN_SIMILARITY else None


def _pattern_distance(grant: Grant, requested: str) -> tuple[float, str] | None:
    if not is_pattern(grant.text):
        return (
            None
            if _first_segment(grant.text) != _first_segment(requested)
            else (3, "not a pattern: a wildcard must be a whole segment, and ** the last one")
        )
    held, wanted = grant.text.split(":"), requested.split(":")
    if not grant.pattern:
        covers = requested in Permissions.of([grant.text], patterns=True)
        return (0, "it would cover this, but * is an ordinary character in this issuer's tokens") if covers else None
    if not all(pattern in {"*", "**", segment} for pattern, segment in zip(held, wanted, strict=False)):
        return (3, "another segment") if _first_segment(grant.text) == _first_segment(requested) else None
    excess = len(wanted) - len(held)
    if held[-1] == "**":
        return 1, "** stands for one or more segments, and here there is none"
    if excess > 0:
        wider = ":".join((*held[:-1], "**"))
        hint = f"; {wider} would cover it" if held[-1] == "*" else ""
        return excess, f"{_segments_text(excess)} too many for it: * stands for exactly one{hint}"
    return -excess, f"{_segments_text(-excess)} too few for it: * stands for exactly one"


def _first_segment(permission: str) -> str:
    return permission.partition(":")[0]


def _segments_text(number: int) -> str:
    return "one segment" if number == 1 else f"{number} segments"


def _source_lines(token: AccessToken, issuer: IssuerSettings) -> Iterator[str]:
    app = token.app
    labels = [
        f"{source} ({'present' if source.path[0] in token.claims else 'absent'})"
        for source in dict.fromkeys(issuer.profile.sources)
        if source.applies(app=app)
    ]
    yield f"grants are read from {', '.join(labels) or 'no claim: the profile has none for this kind of token'}"
    if token.ignored_roles:
        yield f"ignored: {count(token.ignored_roles, 'role')} of the token that the policy does not list"


def _catalogue_lines(requested: str, settings: Settings) -> Iterator[str]:
    catalogue = settings.policy.catalogue
    if catalogue and not any(overlaps(requested, name) for name in catalogue):
        yield f"the policy's catalogue has no {brief(requested)}{did_you_mean(requested, catalogue)}"


def _remedies(requested: str, token: AccessToken, issuer: IssuerSettings, settings: Settings) -> Iterator[str]:
    yield f"have the issuer grant {requested}"
    if any(
        grant.pattern is False and requested in Permissions.of([grant.text], patterns=True)
        for grant in token.permissions
    ):
        yield f"or set PATTERNS = True for {issuer.name}, if it may grant patterns"
    roles = [role for role in settings.policy.roles.values() if requested in Permissions.of(role.grants)]
    for role in roles[:_MAX_SHOWN]:
        outside = ", ".join(role.sources) or "nothing outside the policy"
        how = f"roles of the token: {role.name}" if issuer.own else f"from = [{outside}]"
        yield f"or give the subject the policy's role {role.name}, which grants it ({how})"
