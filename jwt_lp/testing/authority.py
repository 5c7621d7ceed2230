"""How do I test my guarded views?

`Authority` is an issuer of your own for tests: real keys, real signatures, real verification, no network. The
pytest fixture `lp` puts one before your application.
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

    `like` takes an application's settings: audience, profile, policy and rules stay, issuer and keys become
    this authority's, so that a test of your own rules needs no provider. Without it, tokens are those of an
    issuer of ours: wildcards count, and `policy` (a path, a mapping or a `Policy`) says what roles confer.
    `clock` gives seconds since the epoch.
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
        """The authority as an `Issuer`, which makes and narrows tokens by the policy.

        `ConfigurationError` where the settings are those of a provider and not of an issuer of ours.
        """
        own = next((each for each in self._settings.issuers if each.own), None)
        if own is None:
            raise ConfigurationError("none of the issuers is marked OWN, so there is no Issuer to issue tokens")
        policy, audience = self._settings.policy, min(own.audience)
        declared = self._settings.claims or {each.name: ClaimPolicy.of(each) for each in policy.audiences.values()}
        return Issuer(
            own.issuer,
            self,
            policy=policy,
            audience=audience,
            client=CLIENT,
            # A policy under test need not know the audience of tests.
            claims={audience: ClaimPolicy(wildcards=True), **declared},
            clock=self._clock,
        )

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return self.key

    @property
    def generation(self) -> int:
        """How often the key was changed."""
        return self._rotations

    def jwks(self) -> dict[str, object]:
        """The key set, as an issuer publishes it."""
        return {"keys": [self.key.public_jwk()]}

    def rotate(self) -> None:
        """Sign with a new key from now on. Settings made before do not know it."""
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
        client: str = CLIENT,
        typ: str | None = None,
    ) -> str:
        """Sign a token for `subject`. `lifetime` is seconds from now, negative for one that has expired.

        `roles` are the policy's roles; with a provider's profile they are put in as the outside role that the
        policy lists first. `claims` are added last and may replace anything; None as a value leaves one out. `typ` replaces the header's,
        "" leaving it out.
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
            "client_id": client,
        }
        body, usual = shape_claims(
            target.profile,
            registered,
            _texts("permissions", permissions),
            [self._settings.external_role_name(role, target) for role in _texts("roles", roles)],
        )
        body.update(claims or {})
        return sign(
            {name: value for name, value in body.items() if value is not None},
            self.key,
            typ=(usual if typ is None else typ) or None,
        )

    def headers(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        """The Authorization header with a token made as `token` makes it."""
        return {"Authorization": f"Bearer {self.token(*args, **kwargs)}"}

    def _keys(self) -> dict[str, object]:
        return {"ALGORITHMS": [self.key.algorithm], "JWKS": self.jwks()}

    def _issuer(self, name: str | None) -> IssuerSettings:
        found = [each for each in self._settings.issuers if name in (None, each.name)]
        if not found:
            known = ", ".join(each.name for each in self._settings.issuers)
            raise ConfigurationError(f"no issuer is called {name!a}; there is {known}")
        return found[0]

    def _settings_like(self, like: Settings) -> dict[str, object]:
        named = [each.name for each in like.issuers] != ["default"]
        mapping: dict[str, object] = {
            "SERVICE": like.service,
            "POLICY": like.policy,
            "EXTERNAL": {rule: open_.reason for rule, open_ in like.rules.entries if open_.reason is not None},
            "PUBLIC": [rule for rule, open_ in like.rules.entries if open_.reason is None],
            "BIND": {
                name: dict(each.paths) if each.paths[0][0] else each.paths[0][1] for name, each in like.bind.items()
            },
            "URLCONFS": like.urlconfs,
            "OBSERVE_UNTIL": like.observe_until,
            "CLAIMS": {name: _plain(each) for name, each in like.claims.items()},
            "SHOW_REQUIREMENT": like.show_requirement,
        }
        if named:
            return {
                **mapping,
                "ISSUERS": {each.name: self._issuer_like(each, f"/{each.name}") for each in like.issuers},
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
            **self._keys(),
        }
        if issuer.ceiling is not None:
            mapping["CEILING"] = [grant.text for grant in issuer.ceiling]
        return mapping


def _plain(allowed: ClaimPolicy) -> dict[str, object]:
    return {
        "claims": sorted(allowed.claims),
        "max_lifetime": int(allowed.max_lifetime),
        "max_size": allowed.max_size,
        "wildcards": allowed.wildcards,
    }


def _texts(what: str, values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise ConfigurationError(f'{what} is a list: write {what}=["{values}"]')
    return list(values)


class LeastPrivilegeTesting:
    """What the fixture `lp` gives: an authority, put before an application and logged in on its test client."""

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
        """Have `app` accept the authority's tokens until the test is over; for Django, `app` is left out.

        The application's own audience, profile, policy and rules stay as they are.
        """
        host = find_host(app)
        guard = host.guard(app)
        self.authority = Authority(like=guard.settings)
        self._undo.enter_context(host.swap_guard(app, self.authority.guard()))

    def login(self, client: object, subject: str = "alice", permissions: Iterable[str] = (), **kwargs: object) -> None:
        """Have every request of the host's test client carry a token for `subject` with `permissions`."""
        header = self.headers(subject, permissions, **kwargs)["Authorization"]
        if not any(host.login(client, header) for host in installed_hosts()):
            raise ConfigurationError(
                f"{type(client).__name__} is not a test client of Django, DRF, Flask or Starlette: pass lp.headers(...) yourself"
            )

    def close(self) -> None:
        """Put everything back."""
        self._undo.close()
