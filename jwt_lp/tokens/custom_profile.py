"""Custom profiles: the operator's own profile, `PROFILE = {...}` in the settings, read as changes to a shipped one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp._support.validation import Fault, TableReader, format_fault, quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.tokens.claims import CEILING_PREFIX, REFRESH_TYPE, AppRule, ClaimProfile, ClaimSource
from jwt_lp.tokens.profiles import RFC9068, shipped_profile

Sources: TypeAlias = "tuple[ClaimSource, ...]"

_SHAPES: Final = ("text", "list", "either", "scim")
_WHEN: Final = ("always", "users", "apps")
_CONDITIONS: Final = ("equals", "absent", "same_as")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]*")

# Claims that ID tokens have too (OpenID Connect Core, section 2), so requiring them does not exclude ID tokens.
_IN_ID_TOKENS: Final = frozenset(
    {"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "sid"}
)


def read_custom_profile(data: Mapping[str, object]) -> ClaimProfile:
    """Read a profile from plain values; `data` overrides the profile that `BASE` names, by default RFC 9068.

    Keys are in upper or lower case. `PERMISSIONS`, `ROLES` and `CEILING` are lists of claims, each a name, a list of
    keys, or a mapping of `path`, `shape`, `when` and `label`. `APPS` is a list of rules, or of lists of rules that must
    all match. The others are the fields of `ClaimProfile`; a single name is a list of one.

    Raises `ConfigurationError` with every fault, also if the profile confers nothing, if two of its claims have one
    label, or if it would accept an ID token.
    """
    faults: list[Fault] = []
    top = _table((), data, faults, (*_READERS, "BASE", "PERMISSIONS", "ROLES", "CEILING"), str.upper)
    base = _base(top)
    changes = {key.lower(): read(top, key) for key, read in _READERS.items() if key in top.data}
    changes["remedies"] = MappingProxyType({**base.remedies, **changes.get("remedies", {})})
    sources = (*_sources(top, "PERMISSIONS", "permissions", base), *_sources(top, "ROLES", "roles", base))
    ceiling = _ceiling(top, base, sources)
    profile = replace(base, **{"name": "custom", **changes, "sources": sources, "ceiling": ceiling})
    _check(profile, top)
    if faults:
        raise ConfigurationError(*map(format_fault, faults))
    return profile


def _table(
    path: tuple[str | int, ...],
    value: object,
    faults: list[Fault],
    known_keys: tuple[str, ...],
    case: Callable[[str], str],
) -> TableReader:
    if not isinstance(value, Mapping):
        return TableReader.read(path, value, faults)
    cased: dict[object, object] = {}
    for key, item in cast("Mapping[object, object]", value).items():
        name = case(key) if isinstance(key, str) else key
        if name in cased:
            faults.append(((*path, str(name)), "is given twice, in upper and in lower case"))
        cased[name] = item
    return TableReader.read(path, cased, faults, known_keys)


def _base(top: TableReader) -> ClaimProfile:
    name = _name(top, "BASE") if "BASE" in top.data else ""
    try:
        return shipped_profile(name) if name else RFC9068
    except ConfigurationError as error:
        top.fault(str(error), "BASE")
        return RFC9068


def _name(table: TableReader, key: str) -> str:
    value = table.data[key]
    if isinstance(value, str) and value:
        return value
    table.fault("must be a name", key)
    return ""


def _names(table: TableReader, key: str) -> tuple[str, ...]:
    return _words(table, table.data[key], key)


def _set(table: TableReader, key: str) -> frozenset[str]:
    return frozenset(_names(table, key))


def _words(table: TableReader, value: object, *at: str | int) -> tuple[str, ...]:
    values = value if is_json_array(value) else (value,)
    words = tuple(text for text in values if isinstance(text, str) and text)
    if len(words) == len(values):
        return words
    table.fault("must be a name or a list of names", *at)
    return ()


def _nonempty_names(table: TableReader, value: object, *at: str | int) -> tuple[str, ...]:
    words = _words(table, value, *at)
    if value in ([], ()):
        table.fault("must name one at least", *at)
    return words


def _list_items(table: TableReader, key: str) -> Iterator[tuple[int, object]]:
    value = table.data[key]
    if is_json_array(value):
        yield from enumerate(value)
    else:
        table.fault(f"must be a list, not {type(value).__name__}", key)


def _types(table: TableReader, key: str) -> frozenset[str]:
    value = table.data[key]
    values = value if is_json_array(value) else (value,)
    texts = [text.lower().removeprefix("application/") for text in values if isinstance(text, str)]
    if REFRESH_TYPE in texts:
        table.fault(f"{REFRESH_TYPE} is the typ of refresh tokens, which no service accepts", key)
        return frozenset()
    if texts and len(texts) == len(values):
        return frozenset(texts)
    table.fault('must be a list of types, such as ["at+jwt"]; "" stands for a header without one', key)
    return frozenset()


def _any_of(table: TableReader, key: str) -> tuple[tuple[str, ...], ...]:
    return tuple(_nonempty_names(table, value, key, index) for index, value in _list_items(table, key))


def _expected(table: TableReader, key: str) -> Mapping[str, frozenset[str]]:
    values = TableReader.read((key,), table.data[key], table.faults)
    return MappingProxyType({name: frozenset(_nonempty_names(values, values.data[name], name)) for name in values.data})


def _remedies(table: TableReader, key: str) -> Mapping[str, str]:
    values = TableReader.read((key,), table.data[key], table.faults)
    return MappingProxyType({cause: _name(values, cause) for cause in values.data})


def _apps(table: TableReader, key: str) -> tuple[tuple[AppRule, ...], ...]:
    groups: list[tuple[AppRule, ...]] = []
    for index, value in _list_items(table, key):
        if is_json_array(value) and value:
            groups.append(tuple(_app_rule((key, index, inner), rule, table.faults) for inner, rule in enumerate(value)))
        else:
            groups.append((_app_rule((key, index), value, table.faults),))
    return tuple(groups)


def _app_rule(path: tuple[str | int, ...], value: object, faults: list[Fault]) -> AppRule:
    table = _table(path, value, faults, ("claim", *_CONDITIONS, "suffix"), str.lower)
    texts = {key: _name(table, key) for key in ("claim", "equals", "same_as", "suffix") if key in table.data}
    absent = table.flag("absent")
    # A rule without a condition would match every token.
    conditions = absent + ("equals" in texts) + ("same_as" in texts)
    if isinstance(value, Mapping) and ("claim" not in texts or conditions != 1):
        table.fault(f"needs a claim, and one of {', '.join(_CONDITIONS)}")
    return AppRule(**{"claim": "", **texts}, absent=absent)


_READERS: Final[Mapping[str, Callable[[TableReader, str], Any]]] = MappingProxyType(
    {
        "NAME": _name,
        "TYPES": _types,
        "REQUIRED": _names,
        "ANY_OF": _any_of,
        "EXPECTED": _expected,
        "FORBIDDEN": _set,
        "AUDIENCE": _name,
        "SUBSTITUTE": _name,
        "SUBJECT": _name,
        "CLIENT": _names,
        "TOKEN_ID": _name,
        "APPS": _apps,
        "NO_GRANTS": _set,
        "REMEDIES": _remedies,
    }
)


def _sources(top: TableReader, key: str, kind: Literal["permissions", "roles"], base: ClaimProfile) -> Sources:
    defaults = tuple(source for source in base.sources if source.kind == kind)
    return _read(top, key, defaults, ClaimSource((), "", kind, "either")) if key in top.data else defaults


def _ceiling(top: TableReader, base: ClaimProfile, sources: Sources) -> Sources:
    if "CEILING" not in top.data:
        return base.ceiling
    defaults = (*base.ceiling, *(replace(source, when="users") for source in sources))
    return _read(top, "CEILING", defaults, ClaimSource((), "", shape="either", when="users"))


def _read(top: TableReader, key: str, defaults: Sources, fallback: ClaimSource) -> Sources:
    """Read a list of claims. Missing members come from the source of `defaults` with the same path, or `fallback`."""
    value = top.data[key]
    single = isinstance(value, str) or is_json_object(value)
    sources: list[ClaimSource] = []
    for index, item in ((0, value),) if single else _list_items(top, key):
        if is_json_object(item):
            table = _table((key, index), item, top.faults, ("path", "shape", "when", "label"), str.lower)
        else:
            table = TableReader((key, index), {"path": item}, top.faults)
        path = _nonempty_names(table, table.data.get("path", ()), "path")
        if path:
            default = next((source for source in defaults if source.path == path), fallback)
            sources.append(_source(table, path, default))
    return tuple(sources)


def _source(table: TableReader, path: tuple[str, ...], default: ClaimSource) -> ClaimSource:
    label = table.text("label") or default.label or next((key for key in reversed(path) if key != "*"), "")
    if label == CEILING_PREFIX or not _LABEL.fullmatch(label):
        table.fault(f'{quote_text(label)} is not usable as a label in the policy: set one, such as "role"', "label")
    return replace(
        default,
        path=path,
        label=label,
        shape=cast("Any", table.choice("shape", _SHAPES, default.shape)),
        when=cast("Any", table.choice("when", _WHEN, default.when)),
    )


def _check(profile: ClaimProfile, top: TableReader) -> None:
    if not profile.sources:
        top.fault("grants nothing: name a claim under PERMISSIONS or ROLES")
    labels: dict[str, tuple[str, ...]] = {}
    for source in (*profile.sources, *profile.ceiling):
        # INVARIANT: a value of one claim can never be taken for a value of another.
        if labels.setdefault(source.label, source.path) != source.path:
            top.fault(f"two claims have the label {quote_text(source.label)}: give one of them another")
    groups = (*((name,) for name in (*profile.required, *profile.expected)), *profile.any_of)
    if profile.types - {"at+jwt"} and all(_IN_ID_TOKENS.intersection(group) for group in groups):
        top.fault(
            "an ID token could pass: only typ at+jwt tells an access token by itself, so name a claim that ID "
            "tokens of this issuer lack or have another value in, under REQUIRED, ANY_OF or EXPECTED"
        )
