"""How is the smallest sufficient token made?

RFC 9068 says what an access token has in it; nothing else goes in that is not on the audience's list. RFC 8693 says
what narrowing one for another service is; it never widens.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from jwt_lp._support.json_types import is_json_array
from jwt_lp.errors import ConfigurationError, PolicyError, clears_locals
from jwt_lp.issuing.claim_policy import (
    ISSUER_CLAIMS,
    ClaimPolicy,
    check_roles,
    copy_faults,
    encode_claims,
    subtract_denials,
)
from jwt_lp.issuing.downscoping import downscope, find_actor, join_names, lineage_claims, select_audience
from jwt_lp.jose.signing import FixedSigningKey, OwnKeySource, SigningKey, SigningKeys
from jwt_lp.permissions.grants import Permissions
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.revocation.snapshot import RevocationMatch
from jwt_lp.tokens.claims import COMPACT_CLAIM, ROLE_SCOPE_CLAIM, AccessToken
from jwt_lp.tokens.delegation import Lineage
from jwt_lp.tokens.profiles import RFC9068
from jwt_lp.tokens.verification import TrustedIssuer, Verifier

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Denial

__all__ = ["ClaimPolicy", "Issuer"]

DEFAULT_LIFETIME: Final = 300.0

_ID_BYTES: Final = 12

Revoked: TypeAlias = Callable[[AccessToken], "RevocationMatch | bool"]
"""What of a token was revoked: a `RevocationMatch` says it by permission, True is the whole token, False nothing."""


class Issuer:
    """Makes access tokens (RFC 9068), and narrower ones of those that it or an issuer it trusts has made.

    `issuer` is the `iss`; `keys` is a `SigningKey`, or keys that change. `policy` is the catalogue, the roles, the
    audiences and the clients; without a catalogue every well-formed permission may be issued. `claims` is what a
    token may be, by audience, in place of what the policy's audiences say; where neither names any, every audience
    has an hour, 4,096 characters, wildcards and no further claim. `audience` and `client` are those of `issue` where it is not told; `lifetime` is seconds.
    With `compact`, permissions are written as positions in the catalogue where that is shorter.

    `trusts` are other issuers whose tokens may be narrowed; of their claims only those are kept that `copy_claims` of
    that issuer names. `revoked` says what was revoked of a token, one that is given or one that is to be made: True
    or False, or a `RevocationMatch`, which says it by permission. Nothing that was revoked is signed; where `revoked` raises
    or answers neither, nothing is. `clock` gives seconds since the epoch, `randomness` so many random bytes.

    `ConfigurationError` for names that could be taken for another issuer's, and for claims that cannot be copied. Every
    method raises `PolicyError` where the policy does not allow what is asked, with `reason` and a message that
    names what is at fault and what to do.
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
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        _check(issuer, trusts, client)
        _check_types(keys, policy)
        self.issuer: str = issuer
        self.policy: Policy = policy
        self._keys = FixedSigningKey(keys) if isinstance(keys, SigningKey) else keys
        self._audience = audience
        self._client = client
        self._allowed = (
            dict(claims) if claims else {each.name: ClaimPolicy.of(each) for each in policy.audiences.values()}
        )
        _check_copies(trusts, self._allowed.values())
        self._lifetime = lifetime
        self._compact = compact and bool(policy.catalogue)
        self._trusts = {each.issuer: each for each in trusts}
        self._revoked = revoked
        self._clock = clock
        self._randomness = randomness
        # INVARIANT: a token that is bound to a key is not read here, also where a guard takes it on a gateway's word:
        # what is made of it would be bound to nothing.
        unbound = [replace(each, sender_constrained=frozenset()) for each in trusts]
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
    ) -> str:
        """Make a token for `subject` with these permissions and patterns, and these roles of the policy.

        `lifetime` is seconds; left out, it is the issuer's or the audience's longest, whichever is shorter. `claims`
        are what else shall stand in it, all of them on the audience's list.

        What `revoked` says was revoked from the subject, the client or a role is left out, as a guard that knows
        of it would refuse it; of a role or a pattern, what is left stays. `PolicyError` where nothing is.
        """
        self._check_names(subject=subject, client=client)
        audience = self._require_text("audience", audience or self._audience)
        client = self._require_text("client", client or self._client)
        allowed = self.claim_policy_for(audience)
        asked, named_roles = _texts("permissions", permissions), _texts("roles", roles)
        allowed.check_grants(asked, self.policy, audience)
        check_roles(named_roles, self.policy)
        extra = dict(claims or {})
        allowed.check_claims(extra, audience)
        body = self._registered_claims(
            self._require_text("subject", subject),
            audience,
            client,
            allowed.lifetime(lifetime, self._lifetime, audience),
        )
        held = [*Permissions.of(asked, patterns=True), *self.policy.grants(named_roles)]
        made = AccessToken(permissions=Permissions.of(held), roles=named_roles, fingerprint="", **self._described(body))
        kept = self._still_granted(asked, named_roles, {}, self._taken(made), allowed, audience)
        return self._sign({**body, **kept, **extra}, allowed, audience)

    @clears_locals
    def narrow(
        self,
        token: str,
        permissions: Iterable[str],
        *,
        audience: str | None = None,
        lifetime: float | None = None,
        actor: str | None = None,
    ) -> str:
        """Make a token that holds `permissions` of `token` and nothing else, and dies no later.

        `audience` is one of the token's, or one that the policy lets such a one call (`may_call`); left out, the
        token's own. `actor` is a client of the policy that acts for the subject: the new token holds what both
        hold. Of other claims those are kept that are on the audience's list; of another issuer's token, those that its
        `copy_claims` name, under our names. Its subject becomes `NAME:SUBJECT`, by the name that issuer has among
        `trusts`, and stands as it was in `sub_id`. What was revoked, from whom it was or from whom it shall be, is
        not held, nor is a pattern that lost a part.

        `InvalidToken` and `KeysUnavailable` as `verify` raises them.
        """
        parent = self.verify(token)
        claims = _claims(parent)
        own = parent.issuer == self.issuer
        acting = find_actor(self.policy, actor)
        self._check_names(actor=actor, **(_names(parent) if own else {}))
        target = select_audience(self.policy, self.audiences(parent), audience, actor)
        allowed = self.claim_policy_for(target)
        asked = _texts("permissions", permissions)
        allowed.check_grants(asked, self.policy, target)
        denials = self._taken(parent)
        from_parent = lineage_claims(parent, claims, own=own, actor=actor)
        subject = parent.subject if own else f"{parent.issuer_name}:{parent.subject}"
        # INVARIANT: a name that another issuer gave is never taken for one of ours.
        asking = parent.client if own or parent.client is None else f"{parent.issuer_name}:{parent.client}"
        client = self._require_text("client", actor or asking or self._client)
        life = allowed.lifetime(lifetime, self._lifetime, target)
        body = {**self._registered_claims(subject, target, client, life, parent.expires_at), **from_parent}
        # INVARIANT: what was revoked from whoever the child names, its actor too, is not signed for them.
        denials += self._taken(replace(parent, fingerprint="", **self._described(body)))
        taken = downscope(parent.permissions.with_denials(denials), asked, acting)
        return self._sign(
            {**body, **self._permission_claims(taken.direct), **taken.claims, **self._carried(parent, allowed)},
            allowed,
            target,
        )

    @clears_locals
    def renew(
        self,
        token: str,
        *,
        permissions: Iterable[str] = (),
        roles: Iterable[str] = (),
        lifetime: float | None = None,
    ) -> str:
        """Make a new token in place of one of ours that is alive, from what its subject is granted **now**.

        `permissions` and `roles` are all that the subject is granted; the new token has of them what the old one
        had (RFC 6749, section 6), less what `revoked` says was revoked, so that nothing lives on that was taken
        away; of a role or a pattern that lost a part, what is left. A narrowed token is not renewed: renew the one it
        comes from.
        """
        old = self.verify(token)
        if old.issuer != self.issuer or old.lineage is not None:
            raise PolicyError(
                "only tokens that this issuer issued can be renewed, not narrowed or foreign ones: "
                "renew the token that it comes from",
                reason="lineage",
            )
        self._check_names(**_names(old))
        denials = self._taken(old)
        audience = select_audience(self.policy, _audience_values(_claims(old)["aud"]), None, None)
        allowed = self.claim_policy_for(audience)
        had = self._still(old, _texts("permissions", permissions), _texts("roles", roles))
        body = self._registered_claims(
            old.subject,
            audience,
            self._require_text("client", old.client),
            allowed.lifetime(lifetime, self._lifetime, audience),
        )
        kept = self._still_granted(*had, denials, allowed, audience)
        return self._sign({**body, **kept, **self._carried(old, allowed)}, allowed, audience)

    def _still(
        self, old: AccessToken, permissions: Sequence[str], roles: Sequence[str]
    ) -> tuple[list[str], list[str], dict[str, list[str]]]:
        """What a token has that its subject is granted now: direct grants, roles, and what it has of other roles.

        `PolicyError` for nothing.
        """
        check_roles(roles, self.policy)
        granted = Permissions.of([*Permissions.of(permissions, patterns=True), *self.policy.grants(roles)])
        had = [grant.text for grant in old.permissions if grant.role is None]
        # What was retired since is left out like what was taken away.
        kept = [text for text in had if granted.find_containing(text) is not None and self.policy.catalogue_has(text)]
        kept_roles = [role for role in old.roles if role in roles]
        # Of a role that had lost a part when the token was made, what was left.
        through: dict[str, list[str]] = {}
        for role, texts in cast("Mapping[str, str]", _claims(old).get(ROLE_SCOPE_CLAIM, {})).items():
            if role in roles and role not in old.roles:
                confers = Permissions.of(self.policy.roles[role].grants)
                through[role] = [text for text in texts.split(" ") if confers.find_containing(text) is not None]
        if any(True for _ in old.permissions) and not (kept or kept_roles or any(through.values())):
            raise PolicyError("none of the token's grants is still in force: sign in again", reason="scope")
        return kept, kept_roles, through

    def _still_granted(
        self,
        permissions: Sequence[str],
        roles: Sequence[str],
        through: Mapping[str, Sequence[str]],
        denials: Sequence[Denial],
        allowed: ClaimPolicy,
        audience: str,
    ) -> dict[str, object]:
        """The claims that hold what is asked for, less what was revoked; `PolicyError` where all of it was."""
        left, whole = subtract_denials(self.policy, permissions, roles, through, denials)
        if (permissions or roles or through) and not (left.direct or left.by_role or whole):
            raise PolicyError(
                "all that the token would hold was revoked: see `jwt-lp revocations`, and lift what is needed",
                reason="revoked",
            )
        allowed.check_grants(left.direct, self.policy, audience)
        found = {**self._permission_claims(left.direct), **left.claims}
        return {**found, "roles": list(whole)} if whole else found

    def _carried(self, parent: AccessToken, allowed: ClaimPolicy) -> dict[str, object]:
        """The claims besides grants that a token takes over from one it is made of."""
        claims = _claims(parent)
        if parent.issuer == self.issuer:
            return {name: claims[name] for name in sorted(allowed.claims - ISSUER_CLAIMS) if name in claims}
        # INVARIANT: another issuer says nothing in our name that the operator did not say it may.
        copied = self._trusts[parent.issuer].copy_claims.items()
        return {ours: claims[name] for name, ours in sorted(copied) if ours in allowed.claims and name in claims}

    @clears_locals
    def verify(self, token: str) -> AccessToken:
        """The token as its issuer sees it: ours for any audience, or one of an issuer that is trusted.

        `InvalidToken` for any other, and for one that is bound to a key (`cnf`), `KeysUnavailable` where no keys could be had to tell.
        """
        return self._verifier.verify(token)

    def audiences(self, token: AccessToken) -> tuple[str, ...]:
        """Whom a token that `verify` gave is for."""
        if token.issuer == self.issuer:
            return _audience_values(_claims(token)["aud"])
        issuer = self._trusts[token.issuer]
        # INVARIANT: of another issuer's audiences only those count that are known to mean a service of ours.
        said = _audience_values(issuer.profile.audience_claim(_claims(token))[1])
        return tuple(sorted((issuer.audience or frozenset()).intersection(said)))

    def jwks(self) -> dict[str, object]:
        """The key set to publish (RFC 7517, section 5)."""
        return self._keys.jwks()

    def claim_policy_for(self, audience: str) -> ClaimPolicy:
        """What a token for `audience` may be; `PolicyError` for one that is not known."""
        found = self._allowed.get(audience)
        if found is not None:
            return found
        if self._allowed:
            raise PolicyError(
                f"{audience!a} is not an audience that tokens are issued for; the audiences are {join_names(self._allowed)}: "
                "add it under [audiences] in the policy",
                reason="target",
            )
        return ClaimPolicy(wildcards=True)

    def _registered_claims(
        self, subject: str, audience: str, client: str, lifetime: float, latest: float = math.inf
    ) -> dict[str, object]:
        now = int(self._clock())
        # INVARIANT: never later than the parent, whatever was asked for.
        ends = int(min(now + int(lifetime), latest))
        if ends <= now:
            raise PolicyError("the token to be narrowed is about to expire: renew it first", reason="lifetime")
        return {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": client,
            "iat": now,
            "exp": ends,
            "jti": base64.urlsafe_b64encode(self._randomness(_ID_BYTES)).decode(),
        }

    def _permission_claims(self, permissions: Sequence[str]) -> dict[str, object]:
        """The claims that hold direct grants, in the shorter of both forms."""
        scope = " ".join(permissions)
        if self._compact:
            listed = [text for text in permissions if text in self.policy.catalogue]
            rest = " ".join(text for text in permissions if text not in self.policy.catalogue)
            compact = self.policy.encode(listed) if listed else ""
            if listed and len(compact) + len(rest) + len(COMPACT_CLAIM) < len(scope):
                return {COMPACT_CLAIM: compact, **({"scope": rest} if rest else {})}
        return {"scope": scope} if scope else {}

    def _described(self, body: dict[str, Any]) -> dict[str, Any]:
        """What an `AccessToken` would say of a token of ours with this body, besides its grants."""
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

    def _taken(self, token: AccessToken) -> tuple[Denial, ...]:
        """What of a token was revoked; `PolicyError` where all of it was, and where nobody can tell."""
        if self._revoked is None:
            return ()
        try:
            said = self._revoked(token)
        except Exception:  # noqa: BLE001 - whatever went wrong, nobody can say that it was not
            said = None
        # INVARIANT: what cannot be asked is refused, and so is an answer that is neither a Standing nor a plain False.
        if said is False:
            return ()
        if isinstance(said, RevocationMatch) and said.cause is None:
            return said.denials
        raise PolicyError(
            "it could not be determined whether the token is revoked: try again"
            if said is None
            else "the token was revoked, or all that is issued to its subject or client: sign in again",
            reason="undecided" if said is None else "revoked",
        )

    def _check_names(self, **named_so: object) -> None:
        """Refuse a name of ours that is how another issuer's subjects and clients are called here."""
        for what, name in named_so.items():
            if _is_foreign(name, self._trusts.values()):
                raise PolicyError(
                    f"the {what} begins with the name of another issuer, whose {what}s are called so here: "
                    + ("narrow a token of that issuer" if what == "subject" else "give it another name"),
                    reason="actor" if what == "actor" else "policy",
                )

    def _sign(self, claims: Mapping[str, object], allowed: ClaimPolicy, audience: str) -> str:
        payload = encode_claims(claims)
        token = self._keys.current.sign_compact(payload, typ="at+jwt")
        if len(token) > allowed.size_limit:
            sizes = {name: len(encode_claims({name: value})) * 4 // 3 for name, value in claims.items()}
            heaviest = sorted(sizes, key=lambda name: -sizes[name])[:3]
            raise PolicyError(
                f"the token has {len(token)} characters, a token for {audience} {allowed.size_limit} at most; the heaviest "
                f"claims are {', '.join(f'{name} ({sizes[name]})' for name in heaviest)}: request less, grant permissions "
                "by a role, or issue compact permissions",
                reason="size",
            )
        return token

    @staticmethod
    def _require_text(what: str, value: str | None) -> str:
        reason = "target" if what == "audience" else "policy"
        if value is None:
            raise PolicyError(f"the token has no {what}: pass {what}=, or configure it on the issuer", reason=reason)
        if not _is_text(value):
            raise PolicyError(f"the {what} is not a non-empty string of printable characters", reason=reason)
        return value

    def __repr__(self) -> str:
        return f"<Issuer {self.issuer}>"


def _check(issuer: object, trusts: Sequence[TrustedIssuer], client: object) -> None:
    if not _is_text(issuer):
        raise ConfigurationError("an issuer needs an identifier: the iss of its tokens, usually its https address")
    if any(each.issuer == issuer for each in trusts):
        raise ConfigurationError(f"the issuer {issuer!a} is this one: remove it from trusts")
    if any(each.own for each in trusts):
        # Whoever narrowed a token of theirs would be taken for us.
        raise ConfigurationError("an issuer among trusts is marked own: only this issuer can be")
    names = [each.name.lower() for each in trusts]
    if len({*names}) < len(names) or len({each.issuer for each in trusts}) < len(trusts):
        raise ConfigurationError("two issuers among trusts have one name, or are one: give each a name of its own")
    if any(not name or ":" in name for name in names):
        raise ConfigurationError(
            "an issuer among trusts has a name without `:`, for its subjects are called NAME:SUBJECT"
        )
    if _is_foreign(client, trusts):
        raise ConfigurationError(
            "the client begins with the name of another issuer, whose clients are called so here: give it another name"
        )


def _is_foreign(name: object, trusts: Iterable[TrustedIssuer]) -> bool:
    """Whether a subject or a client is called as those of another issuer are here, in any case."""
    return any(str(name).lower().startswith(f"{each.name.lower()}:") for each in trusts)


def _check_copies(trusts: Iterable[TrustedIssuer], allowed: Iterable[ClaimPolicy]) -> None:
    listed = frozenset[str]().union(*(each.claims for each in allowed))
    faults = [
        f"copy_claims of {each.name}: {fault}" for each in trusts for fault in copy_faults(each.copy_claims, listed)
    ]
    if faults:
        raise ConfigurationError(*faults)


def _own_issuer(issuer: str, keys: SigningKeys) -> TrustedIssuer:
    """The issuer itself, as its own verifier trusts it: for any audience, and for however long it made tokens."""
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


def _check_types(keys: object, policy: object) -> None:
    """A path is what people pass in place of both."""
    faults: list[str] = []
    if not callable(getattr(keys, "jwks", None)) and not isinstance(keys, SigningKey):
        faults.append(f"keys is a SigningKey or a KeyRing: write KeyRing({_path(keys, 'signing-keys')})")
    if not isinstance(policy, Policy):
        faults.append(f"policy is a Policy: write Policy.load({_path(policy, 'least-privilege.toml')})")
    if faults:
        raise ConfigurationError(*faults)


def _path(given: object, usual: str) -> str:
    return json.dumps(str(given) if isinstance(given, (str, Path)) else usual)


def _texts(what: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise PolicyError(f'{what} is a list: write {what}=["{values}"]', reason="scope")
    listed = tuple(dict.fromkeys(values))
    if set(map(type, listed)) - {str}:
        raise PolicyError(f"{what} is a list of strings", reason="scope")
    return listed


def _audience_values(value: object) -> tuple[str, ...]:
    """An audience claim that was verified, as a list."""
    return tuple(map(str, value)) if is_json_array(value) else (str(value),)


def _claims(token: AccessToken) -> Mapping[str, object]:
    """The claims to read from, and not to hand on, so they need not be made read-only first."""
    return token._claims  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _names(token: AccessToken) -> dict[str, object]:
    """The names in a token of ours that are ours to give: none where another issuer made the first of its line."""
    if token.lineage is not None and token.lineage.subject is not None:
        return {}
    return {"subject": token.subject, "client": token.client}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()
