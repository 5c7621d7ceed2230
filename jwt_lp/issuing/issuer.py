"""The issuer: issues, downscopes and renews access tokens.

A token has the claims of RFC 9068, and others only if the audience's list allows them. Downscoping (RFC 8693) never
adds permissions.
"""

from __future__ import annotations

import base64
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.json_types import is_json_array
from jwt_lp._support.validation import join_names
from jwt_lp.errors import PolicyError, clears_locals
from jwt_lp.issuing.claim_policy import ClaimPolicy, check_roles, encode_claims
from jwt_lp.issuing.downscoping import downscope, find_actor, lineage_claims, select_audience
from jwt_lp.issuing.elevated_grants import NO_ELEVATED_GRANTS, find_elevated, without_faulty
from jwt_lp.issuing.issuer_checks import (
    check_copies,
    check_names,
    check_types,
    check_until,
    is_foreign,
    read_texts,
    require_text,
)
from jwt_lp.issuing.limits import DEFAULT_LIFETIME
from jwt_lp.issuing.renewal import still_granted
from jwt_lp.issuing.reserved_claims import ISSUER_CLAIMS
from jwt_lp.issuing.revoked_grants import find_denials, subtract_denials
from jwt_lp.jose.signing import FixedSigningKey, OwnKeySource, SigningKey, SigningKeys
from jwt_lp.permissions.grants import Permissions
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.tokens.claims import COMPACT_CLAIM, AccessToken
from jwt_lp.tokens.delegation import Ancestor, Lineage
from jwt_lp.tokens.profiles import RFC9068
from jwt_lp.tokens.trusted_issuer import TrustedIssuer
from jwt_lp.tokens.verification import Verifier

if TYPE_CHECKING:
    from jwt_lp.issuing.elevated_grants import Elevated, ElevatedGrants
    from jwt_lp.issuing.revoked_grants import Revoked
    from jwt_lp.permissions.grants import Denial

__all__ = ["ClaimPolicy", "Issuer"]

_ID_BYTES: Final = 12


class Issuer:
    """Issues access tokens (RFC 9068), and downscopes tokens that it or a trusted issuer has made.

    `issuer` is the `iss`; `keys` is a `SigningKey`, or keys that change. `policy` holds the catalogue, the roles, the
    audiences and the clients; without a catalogue every well-formed permission may be issued. `claims` replaces the
    policy's limits for tokens, by audience. If neither names an audience, every audience is allowed, with at most one
    hour, 4,096 characters, wildcards and no further claim. `audience` and `client` are defaults for `issue`; `lifetime`
    is seconds. With `compact`, permissions are written as positions in the catalogue where that is shorter.

    `trusts` are other issuers whose tokens may be downscoped; of their claims, only those that `copy_claims` of that
    issuer names are kept. `revoked` is called with each token that is given or is to be made, and says what of it is
    revoked: True or False for the whole token, or a `RevocationMatch` for single permissions. Nothing that is revoked
    is signed. If `revoked` raises or returns anything else, nothing is signed. `elevated` is called in the same way, and
    returns the temporary grants of the token's subject: the token holds those that the policy has a rule for, ends with
    the first of them, and is revoked with each. If it raises, the token holds none. `clock` gives seconds since the epoch;
    `randomness(n)` gives `n` random bytes.

    Raises `ConfigurationError` for names that could be taken for another issuer's, and for claims that cannot be
    copied. Every method raises `PolicyError` if the policy does not allow the token, with `reason` and a message that
    names the fault and the remedy.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        issuer: str,
        keys: SigningKey | SigningKeys,
        *,
        policy: Policy = EMPTY_POLICY,
        audience: str | None = None,
        client: str | None = None,
        claims: Mapping[str, ClaimPolicy] | None = None,
        lifetime: float = DEFAULT_LIFETIME,
        compact: bool = False,
        trusts: Sequence[TrustedIssuer] = (),
        revoked: Revoked | None = None,
        elevated: Elevated | None = None,
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        check_names(issuer, trusts, client)
        check_types(keys, policy)
        self.issuer: str = issuer
        self.policy: Policy = policy
        self._keys: SigningKeys = FixedSigningKey(keys) if isinstance(keys, SigningKey) else keys
        self._audience = audience
        self._client = client
        self._claim_policies = dict(claims or {item.name: ClaimPolicy.of(item) for item in policy.audiences.values()})
        check_copies(trusts, self._claim_policies.values())
        self._lifetime = lifetime
        self._compact = compact and bool(policy.catalogue)
        self._trusts = {trusted.issuer: trusted for trusted in trusts}
        self._revoked = revoked
        self._elevated = elevated
        self._clock = clock
        self._randomness = randomness
        # INVARIANT: a token that is bound to a key is refused here, even if a guard accepts it because a gateway checks
        # the proof. A token made from it would not be bound.
        unbound = [replace(trusted, sender_constrained=frozenset()) for trusted in trusts]
        self._verifier = Verifier([_own_issuer(issuer, self._keys), *unbound], policy, clock=clock)

    @clears_locals
    def issue(
        self,
        subject: str,
        *,
        permissions: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client: str | None = None,
        lifetime: float | None = None,
        claims: Mapping[str, object] | None = None,
        ancestor: Ancestor | None = None,
    ) -> str:
        """Issue a token for `subject` with these permissions and patterns, and these roles of the policy.

        `lifetime` is seconds; by default, it is the issuer's or the audience's maximum, whichever is shorter. `claims`
        are additional claims, which must all be on the audience's list. The token's lineage names `ancestor`, such as
        the family of a refresh token: it is revoked with that ancestor, and cannot be renewed.

        What `revoked` reports as revoked for the subject, the client or a role is left out; a role or a pattern that is
        revoked in part is replaced by its remaining permissions. Raises `PolicyError` if nothing remains.
        """
        self._check_names(subject=subject, client=client)
        audience = require_text("audience", audience or self._audience)
        client = require_text("client", client or self._client)
        allowed = self.claim_policy_for(audience)
        texts, role_names = read_texts("permissions", permissions), read_texts("roles", roles)
        allowed.check_grants(texts, self.policy, audience)
        check_roles(role_names, self.policy)
        extra = dict(claims or {})
        allowed.check_claims(extra, audience)
        body = self._registered_claims(
            require_text("subject", subject),
            audience,
            client,
            allowed.lifetime(lifetime, self._lifetime, audience),
        )
        if ancestor is not None:
            body["lineage"] = ancestor.lineage_claim
        if self._revoked is None and self._elevated is None:
            # Nothing can be denied or added, and the grants were checked above.
            grant_claims = {**self._permission_claims(texts), **({"roles": list(role_names)} if role_names else {})}
        else:
            grants = Permissions.of([*Permissions.of(texts, patterns=True), *self.policy.grants(role_names)])
            planned = AccessToken(permissions=grants, roles=role_names, fingerprint="", **self._token_fields(body))
            denials = self._denials(planned)
            elevated = self._elevated_grants(planned, grants.with_denials(denials), allowed, audience)
            grant_claims = self._grant_claims(texts, role_names, elevated.texts, denials, allowed, audience)
            body = elevated.bind(body, grant_claims)
        return self._sign({**body, **grant_claims, **extra}, allowed, audience)

    @clears_locals
    def narrow(
        self,
        token: str,
        permissions: Iterable[str],
        *,
        audience: str | None = None,
        lifetime: float | None = None,
        actor: str | None = None,
        until: float | None = None,
        task: str | None = None,
    ) -> str:
        """Make a token that holds only `permissions`, which `token` must hold, and expires no later than it.

        With `until`, in seconds since the epoch, it also expires no later than that. `task` names the one task that the
        token is for: every token made from it is for the same task, and audit logs name it. `audience` is one of the token's, or one that the policy allows its audience to call (`may_call`); by default,
        the token's own. `actor` is a client of the policy that acts for the subject; then both the token and the client
        must hold the permissions. Other claims are kept if they are on the audience's list; of another issuer's
        token, those that its `copy_claims` name, under our names. Such a token's subject becomes `NAME:SUBJECT`, by
        the name that its issuer has among `trusts`, and the original subject is written to `sub_id`. A permission that
        is revoked, for the given token or for the new one, counts as not held, and so does a pattern that is revoked in
        part. A permission that `elevated` grants to the subject counts as held, unless `token` was narrowed before or
        somebody acts with it; of another issuer's token, within the `elevation` of that issuer.

        Raises `InvalidToken` and `KeysUnavailable` as `verify` does.
        """
        parent = self.verify(token)
        claims = _claims(parent)
        own = parent.issuer == self.issuer
        acting_client = find_actor(self.policy, actor)
        self._check_names(actor=actor, **(_names(parent) if own else {}))
        target = select_audience(self.policy, self.audiences(parent), audience, actor)
        allowed = self.claim_policy_for(target)
        requested = read_texts("permissions", permissions)
        allowed.check_grants(requested, self.policy, target)
        denials = self._denials(parent)
        lineage = lineage_claims(parent, claims, own=own, actor=actor, task=task)
        subject = parent.subject if own else f"{parent.issuer_name}:{parent.subject}"
        # INVARIANT: another issuer's name for a subject or a client is never taken for one of ours.
        parent_client = parent.client if own or parent.client is None else f"{parent.issuer_name}:{parent.client}"
        client = require_text("client", actor or parent_client or self._client)
        seconds = allowed.lifetime(lifetime, self._lifetime, target)
        latest = min(parent.expires_at, check_until(until, self._clock()))
        body = {**self._registered_claims(subject, target, client, seconds, latest), **lineage}
        # INVARIANT: nothing is signed that is revoked for the new token's subject, client or actors, nor what the acting
        # client itself holds only through a role that it is revoked from.
        own_roles = () if acting_client is None else acting_client[1].roles
        roles = tuple(dict.fromkeys((*parent.roles, *own_roles)))
        denials += self._denials(replace(parent, fingerprint="", roles=roles, **self._token_fields(body)))
        if acting_client is not None:
            acting_client = acting_client[0], acting_client[1].with_denials(denials)
        held = parent.permissions.with_denials(denials)
        elevated = self._elevated_grants(parent, held, allowed, target)
        ceiling = None if own else self._trusts[parent.issuer].elevation
        grants = downscope(held.with_temporary(elevated.permissions(ceiling)), requested, acting_client)
        grant_claims = {**self._permission_claims(grants.direct), **grants.claims}
        body = elevated.bind(body, grant_claims)
        return self._sign({**body, **grant_claims, **self._copied_claims(parent, allowed)}, allowed, target)

    @clears_locals
    def renew(
        self,
        token: str,
        *,
        permissions: Iterable[str] = (),
        roles: Iterable[str] = (),
        lifetime: float | None = None,
    ) -> str:
        """Make a new token to replace a valid one of ours, from what its subject is granted **now**.

        `permissions` and `roles` are all that the subject is granted. The new token has those of them that the old one
        had (RFC 6749, section 6), without what `revoked` reports as revoked; a role or a pattern that is revoked in
        part is replaced by its remaining permissions. A downscoped token cannot be renewed: renew the token that it was
        downscoped from.
        """
        old = self.verify(token)
        if old.issuer != self.issuer or (old.lineage is not None and old.lineage.ancestors):
            raise PolicyError(
                "only tokens that this issuer issued can be renewed, not narrowed or foreign ones: "
                "renew the token that it comes from",
                reason="lineage",
            )
        self._check_names(**_names(old))
        denials = self._denials(old)
        audience = select_audience(self.policy, _audience_values(_claims(old)["aud"]), None, None)
        allowed = self.claim_policy_for(audience)
        texts, role_names = read_texts("permissions", permissions), read_texts("roles", roles)
        check_roles(role_names, self.policy)
        granted = Permissions.of([*Permissions.of(texts, patterns=True), *self.policy.grants(role_names)])
        body = self._registered_claims(
            old.subject,
            audience,
            require_text("client", old.client),
            allowed.lifetime(lifetime, self._lifetime, audience),
        )
        # INVARIANT: what is revoked from a role is not signed as a direct grant that only this role still justifies.
        planned = replace(old, permissions=granted, roles=role_names, **self._token_fields(body))
        denials += self._denials(planned)
        direct, whole_roles, by_role = still_granted(self.policy, old, granted, role_names, denials)
        elevated = self._elevated_grants(planned, old.permissions.with_denials(denials) & granted, allowed, audience)
        grant_claims = self._grant_claims(
            direct, whole_roles, {**by_role, **elevated.texts}, denials, allowed, audience
        )
        body = elevated.bind(body, grant_claims)
        return self._sign({**body, **grant_claims, **self._copied_claims(old, allowed)}, allowed, audience)

    def _grant_claims(
        self,
        permissions: Sequence[str],
        roles: Sequence[str],
        by_role: Mapping[str, Sequence[str]],
        denials: Sequence[Denial],
        allowed: ClaimPolicy,
        audience: str,
    ) -> dict[str, object]:
        """Return the claims that hold these grants without the denied ones; raise `PolicyError` if none remains."""
        remaining, whole_roles = subtract_denials(self.policy, permissions, roles, by_role, denials)
        if (permissions or roles or by_role) and not (remaining.direct or remaining.by_role or whole_roles):
            raise PolicyError(
                "all that the token would hold was revoked: see `jwt-lp revocations`, and lift what is needed",
                reason="revoked",
            )
        allowed.check_grants(remaining.direct, self.policy, audience)
        claims = {**self._permission_claims(remaining.direct), **remaining.claims}
        return {**claims, "roles": list(whole_roles)} if whole_roles else claims

    def _copied_claims(self, parent: AccessToken, allowed: ClaimPolicy) -> dict[str, object]:
        """Return the claims, other than grants, that a new token copies from the one it is made from."""
        claims = _claims(parent)
        if parent.issuer == self.issuer:
            return {name: claims[name] for name in sorted(allowed.claims - ISSUER_CLAIMS) if name in claims}
        # INVARIANT: a claim of another issuer is copied only if the operator configured it.
        copied = self._trusts[parent.issuer].copy_claims.items()
        return {ours: claims[name] for name, ours in sorted(copied) if ours in allowed.claims and name in claims}

    @clears_locals
    def verify(self, token: str) -> AccessToken:
        """Verify a token of this issuer, for any audience, or of a trusted issuer.

        Raises `InvalidToken` for any other token, and for one that is bound to a key (`cnf`); `KeysUnavailable` if the
        keys that are needed cannot be had.
        """
        return self._verifier.verify(token)

    def audiences(self, token: AccessToken) -> tuple[str, ...]:
        """Return the audiences of a token that `verify` returned."""
        if token.issuer == self.issuer:
            return _audience_values(_claims(token)["aud"])
        issuer = self._trusts[token.issuer]
        # INVARIANT: of another issuer's audiences, only those count that are configured as services of ours.
        audiences = _audience_values(issuer.profile.audience_claim(_claims(token))[1])
        return tuple(sorted((issuer.audience or frozenset()).intersection(audiences)))

    @property
    def keys(self) -> SigningKeys:
        """The signing keys."""
        return self._keys

    def jwks(self) -> dict[str, object]:
        """Return the key set to publish (RFC 7517, section 5)."""
        return self._keys.jwks()

    def claim_policy_for(self, audience: str) -> ClaimPolicy:
        """Return the claim policy for tokens for `audience`; raise `PolicyError` for an unknown audience."""
        claim_policy = self._claim_policies.get(audience)
        if claim_policy is not None:
            return claim_policy
        if self._claim_policies:
            raise PolicyError(
                f"{audience!a} is not an audience that tokens are issued for; the audiences are "
                f"{join_names(self._claim_policies)}: add it under [audiences] in the policy",
                reason="target",
            )
        return ClaimPolicy(wildcards=True)

    def longest_lifetime(self, audience: str | None = None, requested: float | None = None) -> float:
        """Return the longest lifetime, in seconds, of a token for `audience`, by default the issuer's own audience.

        Raises `PolicyError` if such a token may not live the `requested` seconds, or if there is no such audience.
        """
        audience = require_text("audience", audience or self._audience)
        allowed = self.claim_policy_for(audience)
        allowed.lifetime(requested, self._lifetime, audience)
        return allowed.max_lifetime

    def _registered_claims(
        self, subject: str, audience: str, client: str, lifetime: float, latest: float = math.inf
    ) -> dict[str, object]:
        now = int(self._clock())
        # INVARIANT: a token never expires after its parent, whatever was requested.
        expires_at = int(min(now + int(lifetime), latest))
        if expires_at <= now:
            raise PolicyError("the token to be narrowed is about to expire: renew it first", reason="lifetime")
        return {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": client,
            "iat": now,
            "exp": expires_at,
            "jti": base64.urlsafe_b64encode(self._randomness(_ID_BYTES)).decode(),
        }

    def _permission_claims(self, permissions: Sequence[str]) -> dict[str, object]:
        """Return the claims that hold direct grants, in the shorter of both forms."""
        scope = " ".join(permissions)
        if self._compact:
            in_catalogue = [text for text in permissions if text in self.policy.catalogue]
            rest = " ".join(text for text in permissions if text not in self.policy.catalogue)
            compact = self.policy.encode(in_catalogue) if in_catalogue else ""
            if in_catalogue and len(compact) + len(rest) + len(COMPACT_CLAIM) < len(scope):
                return {COMPACT_CLAIM: compact, **({"scope": rest} if rest else {})}
        return {"scope": scope} if scope else {}

    def _token_fields(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, other than grants, of an `AccessToken` for a token of ours with this body."""
        return {
            "issuer": self.issuer,
            "issuer_name": self.issuer,
            "subject": body["sub"],
            "client": body["client_id"],
            "issued_at": body["iat"],
            "expires_at": body["exp"],
            "token_id": body["jti"],
            "lineage": Lineage.from_claims(body, self.issuer),
            "_claims": body,
        }

    def _denials(self, token: AccessToken) -> tuple[Denial, ...]:
        return find_denials(self._revoked, token)

    def _elevated_grants(
        self, token: AccessToken, standing: Permissions, allowed: ClaimPolicy, audience: str
    ) -> ElevatedGrants:
        """Return the temporary grants that a new token for `audience` may hold beside the `standing` ones."""
        if self._elevated is None:
            return NO_ELEVATED_GRANTS
        found = find_elevated(self._elevated, token, self.policy, self._clock(), standing=standing)
        return without_faulty(found, allowed, self.policy, audience)

    def _check_names(self, **names: object) -> None:
        """Refuse a name that could be taken for the name of another issuer's subject or client."""
        for kind, name in names.items():
            if is_foreign(name, self._trusts.values()):
                raise PolicyError(
                    f"the {kind} begins with the name of another issuer, as only that issuer's {kind}s may: "
                    + ("narrow a token of that issuer" if kind == "subject" else "give it another name"),
                    reason="actor" if kind == "actor" else "policy",
                )

    def _sign(self, claims: Mapping[str, object], allowed: ClaimPolicy, audience: str) -> str:
        payload = encode_claims(claims)
        token = self._keys.current.sign_compact(payload, typ="at+jwt")
        if len(token) > allowed.size_limit:
            sizes = {name: len(encode_claims({name: value})) * 4 // 3 for name, value in claims.items()}
            largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
            raise PolicyError(
                f"the token has {len(token)} characters, a token for {audience} {allowed.size_limit} at most; the "
                f"largest claims are {', '.join(f'{name} ({sizes[name]})' for name in largest)}: request less, grant "
                "permissions by a role, or issue compact permissions",
                reason="size",
            )
        return token

    def __repr__(self) -> str:
        return f"<Issuer {self.issuer}>"


def _own_issuer(issuer: str, keys: SigningKeys) -> TrustedIssuer:
    """Return the issuer as its own verifier trusts it: for any audience and any lifetime."""
    own = OwnKeySource(keys)
    return TrustedIssuer(
        name=issuer,
        issuer=issuer,
        audience=None,
        algorithms=own.algorithms,
        profile=RFC9068,
        keys=own,
        own=True,
        max_lifetime=math.inf,
    )


def _audience_values(value: object) -> tuple[str, ...]:
    """Return a verified audience claim as a tuple."""
    return tuple(map(str, value)) if is_json_array(value) else (str(value),)


def _claims(token: AccessToken) -> Mapping[str, object]:
    """Return the claims without making them read-only, because this module only reads them."""
    return token._claims  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _names(token: AccessToken) -> dict[str, object]:
    """Return the names that our issuer gave: none in a token whose first ancestor another issuer made."""
    if token.lineage is not None and token.lineage.subject is not None:
        return {}
    return {"subject": token.subject, "client": token.client}
