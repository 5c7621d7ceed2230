"""An issuer for tests of guarded views.

`Authority` uses real keys, signatures and verification, and no network. The pytest fixture `lp` makes an application
accept its tokens.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Final

from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.guard.guard import Guard
from jwt_lp.guard.hosts import find_host, installed_hosts
from jwt_lp.guard.settings import IssuerSettings, Settings
from jwt_lp.issuing.issuer import ClaimPolicy, Issuer
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.tokens.provider_claims import shape_claims

__all__ = ["Authority", "LeastPrivilegeTesting"]

ISSUER: Final = "https://authority.test"
AUDIENCE: Final = "https://api.test"
CLIENT: Final = "tests"


class Authority:
    """An issuer for tests.

    `like` takes an application's settings: audience, profile, policy and rules stay, but issuer and keys are those of
    this authority. So a test of your own rules needs no provider. Without `like`, tokens are those of an `OWN` issuer:
    wildcards are allowed, and `policy` (a path, a mapping or a `Policy`) says what roles confer. `clock` returns
    seconds since the epoch.
    """

    @clears_locals
    def __init__(
        self,
        *,
        like: Settings | Mapping[str, object] | None = None,
        policy: object = None,
        algorithm: str = "ES256",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self.key: SigningKey = SigningKey.generate(algorithm)
        self._policy = policy
        self._like = None if like is None else Settings.from_mapping(like)
        self._rotations = 0
        self._settings = Settings.from_mapping(self.settings())

    @clears_locals
    def settings(self, **overrides: object) -> dict[str, object]:
        """A settings mapping that accepts this authority's tokens, with `overrides` in upper-case keys."""
        if self._like is not None:
            return {**self._settings_like(self._like), **overrides}
        own = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "OWN": True, "POLICY": self._policy, **self._keys()}
        return {**own, **overrides}

    @clears_locals
    def guard(self, **overrides: object) -> Guard:
        """A guard that accepts this authority's tokens and reads the same clock."""
        return Guard(self.settings(**overrides), clock=self._clock)

    @property
    def issuer(self) -> Issuer:
        """The authority as an `Issuer`, which issues and narrows tokens by the policy.

        `ConfigurationError` if none of the issuers in the settings is marked `OWN`.
        """
        own = next((issuer for issuer in self._settings.issuers if issuer.own), None)
        if own is None:
            raise ConfigurationError("none of the issuers is marked OWN, so there is no Issuer to issue tokens")
        policy, audience = self._settings.policy, min(own.audience)
        declared = self._settings.claims or {
            target.name: ClaimPolicy.of(target) for target in policy.audiences.values()
        }
        return Issuer(
            own.issuer,
            self,
            policy=policy,
            audience=audience,
            client=CLIENT,
            # A policy under test may not list the audience of the tests.
            claims={audience: ClaimPolicy(wildcards=True), **declared},
            clock=self._clock,
        )

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return self.key

    @property
    def generation(self) -> int:
        """How often the key was rotated."""
        return self._rotations

    def jwks(self) -> dict[str, object]:
        """The public key set."""
        return {"keys": [self.key.public_jwk()]}

    def rotate(self) -> None:
        """Sign with a new key from now on. Settings that were made earlier do not contain it."""
        self.key = SigningKey.generate(self.key.algorithm)
        self._rotations += 1

    @clears_locals
    def token(
        self,
        subject: str = "alice",
        permissions: Iterable[str] = (),
        roles: Iterable[str] = (),
        lifetime: float = 300,
        claims: Mapping[str, object] | None = None,
        *,
        issuer: str | None = None,
        client: str | None = None,
        typ: str | None = None,
    ) -> str:
        """Sign a token for `subject`. `lifetime` is in seconds from now; a negative one gives an expired token.

        `roles` are roles of the policy; with a provider's profile, the token carries the first external role that the
        policy lists for each. `claims` are added last and may replace any claim; None removes one. `typ` replaces the
        `typ` of the header; "" removes it. `issuer` is the name of an issuer in the settings, by default the first.
        `client` is `tests` by default, or the first of `CLIENTS`.
        """
        target = self._issuer(issuer)
        now = int(self._clock())
        registered = {
            "iss": target.issuer,
            "sub": subject,
            "aud": min(target.audience),
            "iat": min(now, int(now + lifetime) - 1),
            "exp": int(now + lifetime),
            "jti": secrets.token_hex(8),
            "client_id": client or (min(target.clients) if target.clients else CLIENT),
        }
        body, profile_typ = shape_claims(
            target.profile,
            registered,
            _string_list("permissions", permissions),
            [self._settings.external_role_name(role, target) for role in _string_list("roles", roles)],
        )
        body.update(claims or {})
        return sign(
            {name: value for name, value in body.items() if value is not None},
            self.key,
            typ=(profile_typ if typ is None else typ) or None,
        )

    def headers(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        """The Authorization header with a new token; the arguments are those of `token`."""
        return {"Authorization": f"Bearer {self.token(*args, **kwargs)}"}

    def _keys(self) -> dict[str, object]:
        return {"ALGORITHMS": [self.key.algorithm], "JWKS": self.jwks()}

    def _issuer(self, name: str | None) -> IssuerSettings:
        issuers = self._settings.issuers
        if name is None:
            return issuers[0]
        for issuer in issuers:
            if issuer.name == name:
                return issuer
        known = ", ".join(issuer.name for issuer in issuers)
        raise ConfigurationError(f"no issuer is called {name!a}; there is {known}")

    def _settings_like(self, like: Settings) -> dict[str, object]:
        named = [issuer.name for issuer in like.issuers] != ["default"]
        mapping: dict[str, object] = {
            "SERVICE": like.service,
            "POLICY": like.policy,
            "EXTERNAL": {rule: open_.reason for rule, open_ in like.rules.entries if open_.reason is not None},
            "PUBLIC": [rule for rule, open_ in like.rules.entries if open_.reason is None],
            "BIND": {
                name: dict(binding.paths) if binding.paths[0][0] else binding.paths[0][1]
                for name, binding in like.bind.items()
            },
            "URLCONFS": like.urlconfs,
            "OBSERVE_UNTIL": like.observe_until,
            "CLAIMS": {audience: _claim_settings(policy) for audience, policy in like.claims.items()},
            "SHOW_REQUIREMENT": like.show_requirement,
            "COOKIE": like.cookies,
        }
        if named:
            return {
                **mapping,
                "ISSUERS": {issuer.name: self._issuer_like(issuer, f"/{issuer.name}") for issuer in like.issuers},
            }
        return {**mapping, **self._issuer_like(like.issuers[0], "")}

    def _issuer_like(self, issuer: IssuerSettings, path: str) -> dict[str, object]:
        mapping: dict[str, object] = {
            "ISSUER": ISSUER + path,
            "AUDIENCE": sorted(issuer.audience),
            "PROFILE": issuer.profile,
            "OWN": issuer.own,
            "PATTERNS": issuer.patterns,
            "LEEWAY": issuer.leeway,
            "MAX_LIFETIME": issuer.max_lifetime,
            "SENDER_CONSTRAINED": sorted(issuer.sender_constrained),
            "COPY_CLAIMS": issuer.copy_claims,
            "CLIENTS": None if issuer.clients is None else sorted(issuer.clients),
            **self._keys(),
        }
        if issuer.dpop:
            mapping |= {"DPOP": issuer.dpop, "DPOP_MAX_AGE": issuer.dpop_max_age}
        if issuer.ceiling is not None:
            mapping["CEILING"] = [grant.text for grant in issuer.ceiling]
        return mapping


def _claim_settings(policy: ClaimPolicy) -> dict[str, object]:
    return {
        "claims": sorted(policy.claims),
        "max_lifetime": int(policy.max_lifetime),
        "max_size": policy.max_size,
        "wildcards": policy.wildcards,
    }


def _string_list(name: str, values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise ConfigurationError(f'{name} is a list: write {name}=["{values}"]')
    return list(values)


class LeastPrivilegeTesting:
    """The fixture `lp`: an authority whose tokens an application accepts and its test client sends."""

    def __init__(self) -> None:
        self.authority: Authority = Authority()
        self._undo = ExitStack()

    def token(self, *args: Any, **kwargs: Any) -> str:
        """`Authority.token`."""
        return self.authority.token(*args, **kwargs)

    def headers(self, *args: object, **kwargs: object) -> dict[str, str]:
        """`Authority.headers`."""
        return self.authority.headers(*args, **kwargs)

    def install(self, app: object = None) -> None:
        """Make `app` accept the authority's tokens until the test ends; for Django, leave `app` out.

        The audience, profile, policy and rules of the application stay as they are.
        """
        host = find_host(app)
        guard = host.guard(app)
        self.authority = Authority(like=guard.settings)
        self._undo.enter_context(host.swap_guard(app, self.authority.guard()))

    def login(self, client: object, subject: str = "alice", permissions: Iterable[str] = (), **kwargs: object) -> None:
        """Make the host's test client send a token for `subject` with `permissions` in every request."""
        header = self.headers(subject, permissions, **kwargs)["Authorization"]
        if not any(host.login(client, header) for host in installed_hosts()):
            raise ConfigurationError(
                f"{type(client).__name__} is not a test client of Django, DRF, Flask or Starlette: "
                "pass lp.headers(...) yourself"
            )

    def close(self) -> None:
        """Restore the guards of the applications."""
        self._undo.close()
