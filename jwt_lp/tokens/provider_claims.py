"""Claims of a user's access token, in the shape of a given profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jwt_lp.tokens.claim_sources import ClaimSource
    from jwt_lp.tokens.claims import ClaimProfile


def shape_claims(
    profile: ClaimProfile, registered: Mapping[str, object], permissions: Iterable[str], roles: Iterable[str]
) -> tuple[dict[str, object], str | None]:
    """Return `(claims, typ)` of a user's access token as an issuer of this profile would write it.

    `registered` holds `iss`, `sub`, `aud`, `iat`, `exp`, `jti` and `client_id`; `roles` are outside names with
    their label (`realm:clerk`), or without one for the first source of roles. Raises `ConfigurationError` for a
    permission or a role that no claim of the profile can hold.
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
        _add_value(
            claims, [source for source in sources.values() if source.kind == "permissions"], permission, registered
        )
    for role in dict.fromkeys(roles):
        _add_role(claims, list(sources.values()), role, registered)
    # A required claim that holds grants is empty if it was not set above. Any other required claim holds the client.
    empty: dict[str, object] = {
        path[0]: {} if len(path) > 1 else "" if source.shape == "text" else [] for path, source in sources.items()
    }
    for name in (*profile.required, *(names[0] for names in profile.any_of)):
        claims.setdefault(name, empty.get(name, registered["client_id"]))
    typ = min(profile.types, key=lambda accepted: (accepted == "", accepted))
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
    labelled = [source for source in sources if source.label == label and rest]
    if not labelled:
        _add_value(claims, [source for source in sources if source.kind == "roles"][:1], name, registered)
        return
    *keys, value = rest.split(":", labelled[0].path.count("*"))
    _set_value(claims, labelled[0], [key.replace("%3A", ":").replace("%25", "%") for key in keys], value)


def _set_value(claims: dict[str, object], source: ClaimSource, keys: list[str], value: str) -> None:
    remaining = iter(keys)
    *path, last = [next(remaining) if key == "*" else key for key in source.path]
    node: Any = claims
    for key in path:
        node = node.setdefault(key, {})
    if source.shape == "text":
        node[last] = " ".join(dict.fromkeys([*node.get(last, "").split(), value]))
    elif value not in node.setdefault(last, []):
        node[last].append(value)
