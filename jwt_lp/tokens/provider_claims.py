"""How would an issuer of this profile shape a user's access token?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from jwt_lp.tokens.claim_sources import ClaimSource
    from jwt_lp.tokens.claims import ClaimProfile


def shape_claims(
    profile: ClaimProfile, registered: Mapping[str, object], permissions: Iterable[str], roles: Iterable[str]
) -> tuple[dict[str, object], str | None]:
    """Return `(claims, typ)` of a user's access token as an issuer of this profile would shape it.

    `registered` holds `iss`, `sub`, `aud`, `iat`, `exp`, `jti` and `client_id`; `roles` are outside names with
    their label (`realm:clerk`), or bare for the first source of roles. `ConfigurationError` for a permission or a
    role that no claim of the profile can carry.
    """
    claims: dict[str, object] = {name: registered[name] for name in ("iss", "iat", "exp")}
    claims[profile.substitute or profile.audience] = registered["aud"]
    claims[profile.subject] = registered["sub"]
    claims[profile.token_id] = registered["jti"]
    for name in profile.client[:1]:
        claims.setdefault(name, registered["client_id"])
    claims.update({name: min(values) for name, values in profile.expected.items()})
    sources = {source.path: source for source in (*profile.ceiling, *profile.sources) if source.applies(app=False)}
    for permission in dict.fromkeys(permissions):
        _add_value(claims, [each for each in sources.values() if each.kind == "permissions"], permission, registered)
    for role in dict.fromkeys(roles):
        _add_role(claims, list(sources.values()), role, registered)
    # A claim that has to be there and carries grants is empty; of any other nothing is known, so it says who asked.
    empty: dict[str, object] = {
        path[0]: {} if len(path) > 1 else "" if source.shape == "text" else [] for path, source in sources.items()
    }
    for name in (*profile.required, *(names[0] for names in profile.any_of)):
        claims.setdefault(name, empty.get(name, registered["client_id"]))
    typ = min(profile.types, key=lambda each: (each == "", each))
    return claims, "JWT" if typ == "jwt" else typ or None


def _add_value(
    claims: dict[str, object], sources: Sequence[ClaimSource], value: str, registered: Mapping[str, object]
) -> None:
    if not sources:
        raise ConfigurationError(f"the profile has no claim for {value!a}")
    for source in sources:
        _set_value(claims, source, [str(registered["client_id"])] * source.path.count("*"), value)


def _add_role(
    claims: dict[str, object], sources: Sequence[ClaimSource], name: str, registered: Mapping[str, object]
) -> None:
    label, _, rest = name.partition(":")
    named = [source for source in sources if source.label == label and rest]
    if not named:
        _add_value(claims, [source for source in sources if source.kind == "roles"][:1], name, registered)
        return
    *keys, value = rest.split(":", named[0].path.count("*"))
    _set_value(claims, named[0], [key.replace("%3A", ":").replace("%25", "%") for key in keys], value)


def _set_value(claims: dict[str, object], source: ClaimSource, keys: list[str], value: str) -> None:
    filled = iter(keys)
    *path, last = [next(filled) if key == "*" else key for key in source.path]
    node: Any = claims
    for key in path:
        node = node.setdefault(key, {})
    if source.shape == "text":
        node[last] = " ".join(dict.fromkeys([*node.get(last, "").split(), value]))
    elif value not in node.setdefault(last, []):
        node[last].append(value)
