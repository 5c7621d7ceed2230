"""Sessions of an issuer's subjects: families of refresh tokens, which begin, go on and end.

No request is known here: `jwt_lp.signin.sign_in` reads requests, and a project may call this part itself, after it has
authenticated somebody in another way.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp._support.events import log_event
from jwt_lp.errors import ConfigurationError, InvalidToken, PolicyError, StoreError, clears_locals
from jwt_lp.issuing.elevated_grants import elevated_texts
from jwt_lp.jose.jws import parse_compact, read_json
from jwt_lp.signin.granted import Granted
from jwt_lp.signin.refresh_tokens import RefreshTokenCodec
from jwt_lp.signin.refusals import NOT_ALLOWED, SignInRefused, refresh_refused, undecided
from jwt_lp.signin.rotation import Verdict, judge
from jwt_lp.signin.session_checks import session_faults, warn_of_retired_keys
from jwt_lp.signin.tokens import Tokens
from jwt_lp.stores.families import FamilyEnding, RefreshFamily
from jwt_lp.stores.push import announce, check_url
from jwt_lp.tokens.claims import COMPACT_CLAIM
from jwt_lp.tokens.delegation import Ancestor

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.issuing.issuer import Issuer
    from jwt_lp.signin.granted import GrantsOf
    from jwt_lp.signin.refresh_tokens import RefreshToken
    from jwt_lp.stores.families import EndReason, SignInStore

REFRESH_LIFETIME: Final = 7 * 86400.0
FAMILY_LIFETIME: Final = 30 * 86400.0
GRACE: Final = 10.0

_TOKEN_LEEWAY: Final = 300.0
_PUSH_TIMEOUT: Final = 0.5
_ID_BYTES: Final = 16
# After a lost race the family is read again; the second time, its counter has grown.
_TRIES: Final = 3


class Sessions:
    """The sessions of an issuer's subjects; the parameters are those of `SignIn`.

    Methods raise `SignInRefused` for a refresh token that is not accepted, `StoreError` if the store does not answer, and
    `PolicyError` if the issuer may not make the access token. Then nothing has changed, except that a session ends if
    its refresh token is used again, or if its subject may not sign in any more.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        issuer: Issuer,
        store: SignInStore,
        *,
        permissions: GrantsOf | None = None,
        audience: str | None = None,
        client: str | None = None,
        access_lifetime: float | None = None,
        refresh_lifetime: float = REFRESH_LIFETIME,
        family_lifetime: float = FAMILY_LIFETIME,
        grace: float = GRACE,
        push: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        faults = session_faults(store, refresh_lifetime, family_lifetime, grace)
        if push is not None:
            check_url(push)
        try:
            self._longest_lifetime: float = issuer.longest_lifetime(audience, access_lifetime)
        except PolicyError as error:
            faults.append(f"access_lifetime is {access_lifetime}: {error}")
        if faults:
            raise ConfigurationError(*faults)
        self._issuer = issuer
        self._store = store
        self._permissions = permissions
        self._audience = audience
        self._client = client
        self._access_lifetime = access_lifetime
        self._refresh_lifetime = refresh_lifetime
        self._family_lifetime = family_lifetime
        self._grace = grace
        self._push = push
        self._clock = clock
        self._refresh_tokens = RefreshTokenCodec(issuer, clock)
        warn_of_retired_keys(issuer, refresh_lifetime)

    @clears_locals
    def start(self, subject: str) -> Tokens:
        """Begin a session of a subject that has been authenticated."""
        now = self._clock()
        family = RefreshFamily(
            id=secrets.token_urlsafe(_ID_BYTES),
            issuer=self._issuer.issuer,
            subject=subject,
            counter=0,
            created_at=now,
            rotated_at=now,
            expires_at=now + self._family_lifetime,
        )
        granted = self._granted(subject)
        if granted is None:
            raise SignInRefused(
                HTTPStatus.UNAUTHORIZED, NOT_ALLOWED, "disabled", "permissions returned None", subject=subject
            )
        tokens = self._make_tokens(family, granted, 0)
        self._store.add_family(family)
        self._log(logging.INFO, "signed-in", family)
        return tokens

    @clears_locals
    def renew(self, refresh_token: str) -> Tokens:
        """Return new tokens for a refresh token, with what its subject is granted now.

        A refresh token that was used before ends its session, and the access tokens of that session are revoked.
        """
        token = self._read(refresh_token)
        # INVARIANT: the grace is measured when the request comes. The work below may take longer than the grace.
        now = self._clock()
        for _ in range(_TRIES):
            family, verdict = self._judge(token, now)
            granted = self._granted(token.subject)
            if granted is None:
                self._end(family, "disabled")
                raise refresh_refused("disabled", "permissions returned None: its session has ended", token.subject)
            # INVARIANT: the tokens are made before the counter is moved. If they cannot be made, the client still has
            # the newest refresh token; if the family has ended meanwhile, they are thrown away.
            tokens = self._make_tokens(family, granted, token.counter + 1)
            if verdict is Verdict.REPEAT or self._store.rotate_family(
                family.id, counter=token.counter, at=self._clock()
            ):
                self._log(logging.INFO, "refreshed", family)
                return tokens
        raise undecided("contended", "the family changed again and again")

    @clears_locals
    def end(self, refresh_token: str) -> bool:
        """End the session of a refresh token, also of an older one; False if it has ended already."""
        token = self._read(refresh_token, expired=True)
        family = self._store.family(token.family)
        if family is None or (family.issuer, family.subject) != (token.issuer, token.subject):
            raise refresh_refused("unknown", Verdict.UNKNOWN.value, token.subject)
        return self._end(family, "sign_out")

    @clears_locals
    def end_everywhere(self, refresh_token: str) -> int:
        """End all sessions of the subject of a refresh token that `renew` would accept; return how many."""
        token = self._read(refresh_token)
        self._judge(token, self._clock())
        return self.end_all(token.subject)

    def end_all(self, subject: str) -> int:
        """End all sessions of a subject, and revoke all its tokens until now; return how many sessions there were."""
        ended = self._store.end_families(self._ending(subject, None, "sign_out_everywhere"))
        self._announce()
        event = {"issuer": self._issuer.issuer, "subject": subject, "sessions": len(ended)}
        log_event(logging.INFO, "signed-out-everywhere", event)
        return len(ended)

    def _read(self, refresh_token: str, *, expired: bool = False) -> RefreshToken:
        try:
            return self._refresh_tokens.read(refresh_token, expired=expired)
        except InvalidToken as error:
            raise refresh_refused(error.cause, error.detail) from None

    def _judge(self, token: RefreshToken, now: float) -> tuple[RefreshFamily, Verdict]:
        """The family of a token that may go on; `SignInRefused` for any other, after a reused one has ended its family."""
        family = self._store.family(token.family)
        verdict = judge(token, family, now=now, grace=self._grace)
        if family is not None and verdict in (Verdict.ROTATE, Verdict.REPEAT):
            return family, verdict
        if family is not None and verdict is Verdict.REUSED:
            self._end(family, "reuse")
        raise refresh_refused(verdict.name.lower(), verdict.value, token.subject)

    def _end(self, family: RefreshFamily, reason: EndReason) -> bool:
        ended = bool(self._store.end_families(self._ending(family.subject, family.id, reason)))
        if ended:
            self._announce()
            reused = reason == "reuse"
            event = "refresh-reused" if reused else "signed-out"
            self._log(logging.WARNING if reused else logging.INFO, event, family, reason)
        return ended

    def _ending(self, subject: str, family: str | None, reason: EndReason) -> FamilyEnding:
        now = self._clock()
        return FamilyEnding(
            id=secrets.token_urlsafe(_ID_BYTES),
            issuer=self._issuer.issuer,
            subject=subject,
            family=family,
            at=now,
            reason=reason,
            tokens_until=now + self._longest_lifetime + _TOKEN_LEEWAY,
        )

    def _announce(self) -> None:
        """Tell services that something was revoked; if Redis fails, they find it at their next poll."""
        if self._push is None:
            return
        try:
            announce(self._push, 0, timeout=_PUSH_TIMEOUT)
        except StoreError as error:
            log_event(logging.WARNING, "push-failed", {"issuer": self._issuer.issuer, "detail": str(error)})

    def _granted(self, subject: str) -> Granted | None:
        """What the subject is granted now; None if it may not sign in."""
        granted = Granted() if self._permissions is None else self._permissions(subject)
        return granted if granted is None or isinstance(granted, Granted) else Granted(granted)

    def _make_tokens(self, family: RefreshFamily, granted: Granted, counter: int) -> Tokens:
        access_token = self._issuer.issue(
            family.subject,
            permissions=granted.permissions,
            roles=granted.roles,
            audience=self._audience,
            client=self._client,
            lifetime=self._access_lifetime,
            ancestor=Ancestor(family.id, math.floor(family.created_at)),
        )
        now = self._clock()
        expires_at = min(now + self._refresh_lifetime, family.expires_at)
        claims: dict[str, Any] = read_json(parse_compact(access_token).payload, "payload")
        direct = claims.get("scope", "").split()
        if COMPACT_CLAIM in claims:
            direct += self._issuer.policy.decode(cast("str", claims[COMPACT_CLAIM]))
        direct += elevated_texts(claims)
        return Tokens(
            access_token,
            max(0, int(claims["exp"] - now)),
            self._refresh_tokens.make(family, counter, expires_at),
            max(0, int(expires_at - now)),
            " ".join(direct),
            family.subject,
            family.id,
        )

    def _log(self, level: int, event: str, family: RefreshFamily, reason: str = "") -> None:
        members = {"issuer": family.issuer, "subject": family.subject, "family": family.id, "reason": reason}
        log_event(level, event, members)
