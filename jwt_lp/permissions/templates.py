"""Permission templates filled from route parameters, and comparison of parameters with claims.

Each parameter fills one whole segment of a template such as `orders:{order_id}:read`, so a client chooses never more
than one literal segment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from jwt_lp.errors import ConfigurationError, TemplateError
from jwt_lp.permissions.grants import MAX_LENGTH, MAX_SEGMENTS, Permission, is_scope_token, is_segment, within_limits

# A literal segment, or a parameter's name and whether its value is percent-encoded.
TemplateParts: TypeAlias = "tuple[tuple[str, bool] | str, ...]"
# The value of a claim: any JSON value, frozen or not.
ClaimValue: TypeAlias = "Mapping[str, Any] | list[Any] | tuple[Any, ...] | str | float | None"

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(!e)?\}")


def parse_template(text: str) -> TemplateParts:
    """The parts of a template; none for a literal permission; `ConfigurationError` if it is neither."""
    if "{" in text or "}" in text:
        parts = tuple(_part(text, segment) for segment in text.split(":"))
    else:
        parts = ()
        _check_literal(text)
    if not within_limits(text):
        raise ConfigurationError(
            f"{text!a} is longer than a permission may be ({MAX_LENGTH} characters, {MAX_SEGMENTS} segments)"
        )
    return parts


def _part(text: str, segment: str) -> tuple[str, bool] | str:
    match = _PLACEHOLDER.fullmatch(segment)
    if match is not None:
        return match[1], match[2] is not None
    if not is_segment(segment):
        # Two values in one segment would be ambiguous: `a-b` + `c` equals `a` + `b-c`.
        raise ConfigurationError(
            f"{text!a} is not a template: {segment!a} is neither a segment nor a {{name}}; "
            'write e.g. "orders:{order_id}:read"'
        )
    return segment


def _check_literal(text: str) -> None:
    if not is_scope_token(text):
        raise ConfigurationError(
            f"{text!a} can never be granted: a permission is one or more characters of RFC 6749's scope alphabet"
        )
    if "*" in text:
        raise ConfigurationError(
            f"{text!a} has a wildcard: wildcards belong in grants; a requirement names the permission"
        )


def fill_template(parts: TemplateParts, params: Mapping[str, object]) -> str:
    """The permission that the parameters give; `TemplateError` if they cannot fill the template."""
    filled = ":".join([part if isinstance(part, str) else _fill_part(part, params) for part in parts])
    if not within_limits(filled):
        msg = "the values make the permission too long"
        raise TemplateError(msg, configured=False)
    return filled


def _fill_part(part: tuple[str, bool], params: Mapping[str, object]) -> str:
    name, encode = part
    if name not in params:
        msg = f"the route has no parameter {name}"
        raise TemplateError(msg, configured=True)
    return Permission.segment(params[name], encode=encode)


def sent_parameters(params: Mapping[str, object], template: str, path: str) -> Mapping[str, object]:
    """Those of `params` whose values the client sent itself, so that it learns nothing when it is told them.

    Each is a whole segment of the route's `template`, and its text is that segment of the request's decoded `path`.
    """
    # INVARIANT: a value that code of the application put in, or changed, is not among them. Its place counts, so that
    # nobody can find out such a value by guessing it elsewhere in the path. Both are compared from their ends, because
    # the path may begin with where the application is mounted.
    segments = zip(reversed(template.split("/")), reversed(path.split("/")), strict=False)
    sent = {segment[1:-1].partition(":")[0]: text for segment, text in segments if segment[:1] == "{"}
    return {name: value for name, value in params.items() if name in sent and _plain_text(value) == sent[name]}


def _plain_text(value: object) -> str | None:
    try:
        Permission.segment(value, encode=True)
    except TemplateError:
        return None
    return str(value)


def claim_at(claims: Mapping[str, Any], path: tuple[str, ...]) -> ClaimValue:
    """The claim at this path; None if there is none."""
    value: ClaimValue = claims if path else None
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def matches_claim(value: object, claim: ClaimValue) -> bool:
    """Whether a parameter's canonical text equals that of the claim, or of one member of a list claim."""
    # INVARIANT: an absent claim, null, a bool, an object and "" equal nothing, not even each other.
    if isinstance(claim, (list, tuple)):
        return any(matches_claim(value, member) for member in claim if not isinstance(member, (list, tuple)))
    if not (isinstance(claim, str) and claim != "") and type(claim) is not int:
        return False
    try:
        return Permission.segment(value, encode=True) == Permission.segment(claim, encode=True)
    except TemplateError:
        return False
