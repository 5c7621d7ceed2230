"""Claim profiles of issuers, and the verified access token.

A `ClaimProfile` is data: which claims an issuer's access tokens have, which of them hold grants, and how an access
token differs from other tokens of the same issuer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, cast

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import ConfigurationError
from jwt_lp.tokens.claim_sources import AppRule, ClaimSource, ConferredGrants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jwt_lp.permissions.grants import Permissions
    from jwt_lp.permissions.templates import ClaimValue
    from jwt_lp.tokens.delegation import Lineage

__all__ = [
    "CEILING_PREFIX",
    "COMPACT_CLAIM",
    "OPENID_SCOPES",
    "ROLE_SCOPE_CLAIM",
    "AccessToken",
    "AppRule",
    "ClaimProfile",
    "ClaimSource",
    "ConferredGrants",
    "read_only",
]

# OpenID Connect's own scopes (Core, sections 5.4 and 11) control what a client may see of a user; they grant nothing.
OPENID_SCOPES: Final = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})

# The prefix of outside names that apply to a ceiling only; no source may have it as its label.
CEILING_PREFIX: Final = "ceiling"

# Claims of our own issuers' tokens only: compact permissions, and permissions held through a role.
COMPACT_CLAIM: Final = "cperm"
ROLE_SCOPE_CLAIM: Final = "role_scope"

_SHOWN: Final = 80
_SCALARS: Final = frozenset({str, int, float, bool})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimProfile:
    """How one kind of issuer shapes its access tokens.

    The grants of all `sources` count. If `ceiling` has sources that apply, they must cover a permission too. `types`
    are the accepted `typ` header values, in lower case and without `application/`; "" stands for an absent one. A token
    must have every claim of `required`, one of each group of `any_of`, the values of `expected`, and no claim of
    `forbidden`. `audience` names the audience claim, and `substitute` the claim that replaces it where the token has
    none. The first claim of `client` that is present holds the client. The token is an application's own if all rules
    of one group in `apps` match. Values in `no_grants` are never permissions. `remedies` tell the operator what to
    change at the provider, by the cause of a refusal; `{value}` is the expected value.
    """

    name: str
    sources: tuple[ClaimSource, ...]
    ceiling: tuple[ClaimSource, ...] = ()
    types: frozenset[str] = frozenset({"at+jwt"})
    required: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    expected: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    forbidden: frozenset[str] = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "events"})
    audience: str = "aud"
    substitute: str | None = None
    subject: str = "sub"
    client: tuple[str, ...] = ("client_id", "azp")
    token_id: str = "jti"
    apps: tuple[tuple[AppRule, ...], ...] = ()
    no_grants: frozenset[str] = OPENID_SCOPES
    remedies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def client_of(self, claims: Mapping[str, Any]) -> str | None:
        """Return the client that the token was issued to, or None if the token does not name it."""
        for name in self.client:
            if name in claims:
                client: str = claims[name]
                return client
        return None

    def is_app(self, claims: Mapping[str, object]) -> bool:
        """Return whether the token is an application's own."""
        # Written out, because generators cost more than the rules, and every new token takes this path.
        for rules in self.apps:
            for rule in rules:
                if not rule.matches(claims):
                    break
            else:
                return True
        return False

    def read_grants(self, claims: Mapping[str, object], *, app: bool | None = None) -> ConferredGrants:
        """Return what the token's sources confer; raise `InvalidToken` for a claim of the wrong shape.

        `app` is the result of `is_app`, if the caller has it already.
        """
        return self._read_sources(self.sources, claims, app=self.is_app(claims) if app is None else app)

    def read_ceiling(self, claims: Mapping[str, object], *, app: bool | None = None) -> ConferredGrants | None:
        """Return what the ceiling's sources confer, or None if no ceiling applies to this kind of token.

        Each outside name is included twice, unchanged and with the prefix `ceiling:`. A role of the policy that lists
        the prefixed name raises the ceiling and grants nothing: `from = ["ceiling:scope:access_as_user"]`.
        """
        app = self.is_app(claims) if app is None else app
        if not any(source.applies(app=app) for source in self.ceiling):
            return None
        return self._read_sources(self.ceiling, claims, app=app).with_prefix(CEILING_PREFIX)

    def _read_sources(
        self, sources: tuple[ClaimSource, ...], claims: Mapping[str, object], *, app: bool
    ) -> ConferredGrants:
        permissions: list[tuple[str, str, tuple[str, ...]]] = []
        roles: list[tuple[str, str, tuple[str, ...]]] = []
        for source in sources:
            if (source.path[0] in claims or source.path[0] == "*") and source.applies(app=app):
                # INVARIANT: a role's name is never itself a permission.
                (permissions if source.kind == "permissions" else roles).extend(source.read(claims))
        return ConferredGrants(tuple(permissions), tuple(roles), self.no_grants)

    def audience_claim(self, claims: Mapping[str, Any]) -> tuple[str, ClaimValue]:
        """Return the name of the audience claim and its value, which is None if the claim is absent."""
        # INVARIANT: the substitute is never read in a token that has the audience claim.
        name = self.audience if self.audience in claims else self.substitute or self.audience
        return name, claims.get(name)

    def fault(self, header_typ: object, claims: Mapping[str, object]) -> tuple[str, str] | None:
        """Return why this is not an access token of this issuer, as (cause, the operator's explanation), or None.

        Causes are `typ`, `not_access_token`, `subject`, `client` and `claim_type`. `header_typ` is None if the header
        has no `typ` (RFC 8725, section 3.11; RFC 9068, section 4).
        """
        problem = self._typ_fault(header_typ)
        if problem is not None:
            return "typ", self._with_remedy("typ", problem)
        problem = self._claims_fault(claims)
        if problem is not None:
            return "not_access_token", self._with_remedy("not_access_token", problem)
        # Unprintable text must not reach logs, keys of the store and reports.
        if not _is_text(claims.get(self.subject)):
            return self._text_fault("subject", self.subject)
        for name in self.client:
            if name in claims and not _is_text(claims[name]):
                return self._text_fault("client", name)
        if self.token_id in claims and not _is_text(claims[self.token_id]):
            return self._text_fault("claim_type", self.token_id)
        return None

    def _text_fault(self, cause: str, name: str) -> tuple[str, str]:
        return cause, self._with_remedy(cause, f"{name} is not a non-empty string of printable characters")

    def _typ_fault(self, typ: object) -> str | None:
        # INVARIANT: "" in `types` matches an absent typ only. RFC 7515, section 4.1.9: `application/` may be omitted.
        if isinstance(typ, str) and typ != "" and typ in self.types:
            return None
        text = typ.lower().removeprefix("application/") if isinstance(typ, str) and typ.isascii() else ""
        if text in self.types and (text == "") is (typ is None):
            return None
        expected = " or ".join(sorted(accepted or "none" for accepted in self.types))
        return f"the header's typ is {_shown(typ)}; access tokens here have {expected}"

    def _claims_fault(self, claims: Mapping[str, object]) -> str | None:
        for name in self.required:
            if claims.get(name) is None:
                return f"there is no {name}, which access tokens have"
        for names in self.any_of:
            if all(claims.get(name) is None for name in names):
                return f"there is no {' or '.join(names)}, which access tokens have"
        for name, values in self.expected.items():
            value = claims.get(name)
            if not (isinstance(value, str) and value in values):
                return f"{name} is {_shown(value)}; access tokens have {' or '.join(map(_shown, sorted(values)))}"
        if not self.forbidden.isdisjoint(claims):
            return f"there is {min(self.forbidden.intersection(claims))}, which access tokens do not have"
        return None

    def remedy(self, cause: str, value: str = "") -> str:
        """Return what the operator can change at the provider for `cause`, or "" if no remedy is known."""
        return self.remedies.get(cause, "").replace("{value}", value)

    def _with_remedy(self, cause: str, problem: str) -> str:
        return ": ".join(filter(None, (problem, self.remedy(cause))))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _shown(value: object) -> str:
    text = ascii(value) if isinstance(value, str) else "absent" if value is None else "no string"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class AccessToken:
    """A verified access token. Compare with `is`; verifying a token again may make a new object.

    `issuer` is the `iss` claim and `issuer_name` its name in the settings; the subject is always the pair of
    issuer and `subject`. `client` is the client that the token was issued to, if the issuer names it. Times are
    seconds since the epoch. `claims` is the whole payload, read-only at every depth. `ignored_roles` counts outside
    roles that the policy does not list. `lineage` says which tokens a token of our own issuer was downscoped from.
    `is_anonymous` is True for `ANONYMOUS` alone, which stands for a token where there is none.
    """

    is_anonymous: ClassVar[bool] = False

    issuer: str
    issuer_name: str
    subject: str
    client: str | None
    permissions: Permissions
    _claims: Mapping[str, object]
    issued_at: float
    expires_at: float
    token_id: str | None
    roles: tuple[str, ...]
    fingerprint: str
    ignored_roles: int = 0
    app: bool = False
    development: bool = False
    lineage: Lineage | None = None
    # A guard's own data about the token; a copy starts without it.
    token_state: Any = field(default=None, init=False)

    @property
    def claims(self) -> Mapping[str, object]:
        """The whole payload, read-only at every depth, so that no view can change it for the next one."""
        return read_only(self._claims)

    def __repr__(self) -> str:
        return f"<AccessToken {self.fingerprint} from {self.issuer_name}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Callable[..., Any]) -> NoReturn:
        """Refuse use as request data. Otherwise, if `Requires` is forgotten, a token would be read from the body."""
        raise ConfigurationError(
            "AccessToken is never read from the request's data: "
            'annotate the parameter as Annotated[AccessToken, Requires("…")]'
        )


class _OpenToken:
    """An access token that is being made: the fields of an `AccessToken`, which can still be set."""

    __slots__ = AccessToken.__slots__


def make_token(*fields: Any) -> AccessToken:
    """Make an `AccessToken` of its fields, in their order, at a fifth of the cost.

    The initializer of a frozen class sets each field through `object.__setattr__`, which costs more than verifying a
    signature with a shared secret. Here the fields are set first, and then the token gets the class that is frozen.
    """
    token: Any = _OpenToken()
    (
        token.issuer,
        token.issuer_name,
        token.subject,
        token.client,
        token.permissions,
        token._claims,  # noqa: SLF001 - a field of the twin
        token.issued_at,
        token.expires_at,
        token.token_id,
        token.roles,
        token.fingerprint,
        token.ignored_roles,
        token.app,
        token.development,
        token.lineage,
    ) = fields
    token.token_state = None
    token.__class__ = AccessToken
    return cast("AccessToken", token)


def read_only(claims: Mapping[str, object]) -> Mapping[str, object]:
    """Return the claims, read-only at every depth, so that no view can change them for the next one.

    The caller must not change `claims` afterwards: a flat mapping is wrapped, not copied.
    """
    nested = {name: _freeze(value) for name, value in claims.items() if type(value) not in _SCALARS}
    return MappingProxyType({**claims, **nested} if nested else claims)


def _freeze(value: object) -> object:
    if is_json_object(value):
        return read_only(value)
    return tuple(map(_freeze, value)) if is_json_array(value) else value
