"""Elevations of one policy: who may ask, who may decide, and what the store keeps of it."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from jwt_lp._support.events import log_event
from jwt_lp.elevation.approvers import check_approver, check_standing, decides, is_owner
from jwt_lp.elevation.identities import Operator, identities, person_of
from jwt_lp.elevation.wishes import Wish
from jwt_lp.errors import ConfigurationError, ElevationNotAllowed, ElevationUnknown, StoreError
from jwt_lp.stores.elevations import Elevation, ElevationChange, ElevationFilter
from jwt_lp.stores.push import announce, check_url
from jwt_lp.tokens.claims import AccessToken
from jwt_lp.tokens.own_use import is_delegated

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.policy.file import Policy
    from jwt_lp.revocation.temporary_grants import TemporaryGrant
    from jwt_lp.stores import Store

_PUSH_TIMEOUT: Final = 0.5
_ID_BYTES: Final = 16


class Elevations:
    """Requests for permissions, and the decisions about them, by the rules of a policy.

    Whoever acts is a verified access token, with what a guard made of it, or an `Operator`. `person` is a claim that
    identifies a person at all issuers, and that nobody can set for oneself. `push` is the URL of the Redis server that
    tells guards of a change at once. `clock` returns seconds since the epoch.

    Methods raise `ElevationError` if the rules or the state of the elevation forbid the step, and `StoreError` if the
    store does not answer. Then nothing has changed.
    """

    def __init__(
        self,
        policy: Policy,
        store: Store,
        *,
        person: str = "",
        push: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not callable(getattr(store, "change_elevation", None)):
            raise ConfigurationError("store keeps no elevations: pass jwt_lp.stores.open_store(URL)")
        if push is not None:
            check_url(push)
        self.policy: Policy = policy
        self.store: Store = store
        self._person = person
        self._push = push
        self._clock = clock

    def now(self) -> float:
        """The time by its clock, at which `Elevation.state` is to be asked for."""
        return self._clock()

    def held(self, issuer: str, subject: str, client: str | None = None) -> tuple[TemporaryGrant, ...]:
        """What a subject holds now by elevations, for tokens of `client` ("" or None: tokens that name no client).

        An elevation that the policy's rules would not allow any more does not count: one without a rule, or for longer
        than its rule allows now.
        """
        now = self._clock()
        held = self.store.elevations(ElevationFilter(issuer=issuer, subject=subject, held_at=now))
        return tuple(
            grant
            for each in held
            if (grant := each.temporary_grant) is not None
            and each.client in (None, client or "")
            and is_within(self.policy, each)
        )

    def may_ask(self, token: AccessToken, permission: str) -> bool:
        """Whether the policy lets the bearer of a token ask for a permission."""
        rule = self.policy.elevation_rule(permission)
        return rule is not None and rule.may_ask(token.subject, token.roles, token.issuer_name)

    def request(
        self,
        who: AccessToken | Operator,
        permission: str,
        *,
        reason: str = "",
        ticket: str = "",
        seconds: int | None = None,
        key: str = "",
        break_glass: bool = False,
    ) -> Elevation:
        """Ask to hold a permission for `seconds`, or for as long as the rule allows; return the elevation.

        With `key`, a second call with the same values returns the same elevation. With `break_glass` the permission is
        granted at once, if the rule allows that, and has to be reviewed.
        """
        wish = Wish.check(self.policy, who, permission, reason=reason, ticket=ticket, seconds=seconds)
        if break_glass:
            _check_break_glass(who, wish.rule)
        now = self._clock()
        token = who if isinstance(who, AccessToken) else None
        elevation = Elevation(
            id=_id_of(who, key) if key else secrets.token_hex(_ID_BYTES),
            issuer=who.issuer,
            subject=who.subject,
            client=None if token is None else token.client or "",
            permission=permission,
            asked_at=now,
            answer_by=now + wish.rule.answer,
            seconds=wish.seconds,
            needed=wish.rule.approvals,
            reason=wish.reason,
            ticket=wish.ticket,
            break_glass=break_glass,
            person="" if token is None else person_of(token, self._person),
            known_as=() if token is None else identities(token)[1:],
            since=now if break_glass else None,
            until=now + wish.seconds if break_glass else None,
        )
        stored = self.store.ask(elevation)
        if break_glass:
            self._announce()
        return stored

    def approve(self, who: AccessToken | Operator, elevation_id: str, *, digest: str, reason: str = "") -> Elevation:
        """Approve a request; `digest` is that of the elevation that the approver has seen."""
        elevation = self._find(elevation_id)
        rule = self._rule_of(elevation)
        self._check_approver(who, elevation, rule)
        changed = self._change(who, elevation, "approved", reason, digest=digest, rule=rule)
        if changed.since is not None:
            self._announce()
        return changed

    def deny(self, who: AccessToken | Operator, elevation_id: str, *, reason: str = "") -> Elevation:
        """Deny a request."""
        elevation = self._find(elevation_id)
        if isinstance(who, AccessToken):
            self._check_approver(who, elevation, self._rule_of(elevation))
        return self._change(who, elevation, "denied", reason)

    def end(self, who: AccessToken | Operator, elevation_id: str, *, reason: str = "") -> Elevation:
        """Withdraw a request, or end an elevation before its time. The asker may, and whoever may decide."""
        elevation = self._find(elevation_id)
        if isinstance(who, AccessToken) and not is_owner(who, elevation):
            check_standing(who, self._rule_of(elevation))
        changed = self._change(who, elevation, "ended", reason)
        self._announce()
        return changed

    def review(self, who: AccessToken | Operator, elevation_id: str, *, reason: str = "") -> Elevation:
        """Note that somebody has reviewed what was granted without an approval."""
        elevation = self._find(elevation_id)
        if isinstance(who, AccessToken):
            self._check_approver(who, elevation, self._rule_of(elevation))
        return self._change(who, elevation, "reviewed", reason)

    def show(self, who: AccessToken | Operator, elevation_id: str) -> Elevation:
        """The elevation, for its asker and for those who may decide; `ElevationUnknown` for all others."""
        elevation = self._find(elevation_id)
        if self.may_see(who, elevation):
            return elevation
        raise ElevationUnknown("there is no such elevation")

    def may_see(self, who: AccessToken | Operator, elevation: Elevation) -> bool:
        """Whether the caller may see an elevation: its asker, those who may decide, and operators."""
        return isinstance(who, Operator) or is_owner(who, elevation) or self.may_decide(who, elevation)

    def may_decide(self, who: AccessToken, elevation: Elevation) -> bool:
        """Whether the rules let the caller decide about an elevation; what the store has seen before is not checked."""
        try:
            check_approver(who, elevation, self._rule_of(elevation), person=self._person, store=None)
        except ElevationNotAllowed:
            return False
        return True

    def may_end(self, who: AccessToken, elevation: Elevation) -> bool:
        """Whether the caller may withdraw or end an elevation: its asker, and whoever may decide by its rule."""
        if is_owner(who, elevation):
            return True
        try:
            check_standing(who, self._rule_of(elevation))
        except ElevationNotAllowed:
            return False
        return True

    def elevations_of(self, who: AccessToken | Operator, *, after: str = "", limit: int = 50) -> tuple[Elevation, ...]:
        """The elevations of the caller, oldest first; `after` is the id of the last one of the page before."""
        last = self.store.elevation(after) if after else None
        # INVARIANT: a page after somebody else's elevation is like one after an id that nothing has.
        if after and (last is None or (last.issuer, last.subject) != (who.issuer, who.subject)):
            return ()
        which = ElevationFilter(issuer=who.issuer, subject=who.subject, after=after or None, limit=limit)
        return tuple(self.store.elevations(which))

    def waiting_for(self, who: AccessToken, *, after: str = "", limit: int = 50) -> tuple[Elevation, ...]:
        """The requests that the caller may decide about, oldest first, in pages as those of `elevations_of`."""
        if not decides(who, self.policy.elevation.values()):
            # Everybody may ask this, and all requests would be read in vain.
            return ()
        which = ElevationFilter(open_at=self.now(), after=after or None)
        return tuple(islice((each for each in self.store.elevations(which) if self.may_decide(who, each)), limit))

    def _find(self, elevation_id: str) -> Elevation:
        elevation = self.store.elevation(elevation_id)
        if elevation is None:
            raise ElevationUnknown("there is no such elevation")
        return elevation

    def _rule_of(self, elevation: Elevation) -> ElevationRule:
        """The rule that the policy has now; it may have changed since the request."""
        rule = self.policy.elevation_rule(elevation.permission)
        if rule is None:
            raise ElevationNotAllowed("the policy has no rule for it any more", reason="rule")
        return rule

    def _check_approver(self, who: AccessToken | Operator, elevation: Elevation, rule: ElevationRule) -> None:
        if isinstance(who, Operator):
            raise ElevationNotAllowed("whoever approves needs an access token of their own", reason="approver")
        check_approver(who, elevation, rule, person=self._person, store=self.store)

    def _change(
        self,
        who: AccessToken | Operator,
        elevation: Elevation,
        action: Literal["approved", "denied", "ended", "reviewed"],
        reason: str,
        *,
        digest: str | None = None,
        rule: ElevationRule | None = None,
    ) -> Elevation:
        change = ElevationChange(
            elevation=elevation.id,
            action=action,
            at=self.now(),
            issuer=who.issuer,
            subject=who.subject,
            reason=Wish.check_text(reason, "reason"),
            person=person_of(who, self._person) if isinstance(who, AccessToken) else "",
            digest=digest,
            needed=1 if rule is None else rule.approvals,
            longest=None if rule is None else rule.longest,
        )
        return self.store.change_elevation(change)

    def _announce(self) -> None:
        """Tell guards of a change; if Redis fails, they find it at their next poll."""
        if self._push is None:
            return
        try:
            announce(self._push, 0, timeout=_PUSH_TIMEOUT)
        except StoreError as error:
            log_event(logging.WARNING, "push-failed", {"detail": str(error)})


def is_within(policy: Policy, elevation: Elevation) -> bool:
    """Whether the rules of the policy allow what an elevation grants."""
    rule = policy.elevation_rule(elevation.permission)
    if rule is None or (elevation.break_glass and not rule.break_glass):
        return False
    return elevation.since is None or elevation.until is None or elevation.until - elevation.since <= rule.longest


def _check_break_glass(who: AccessToken | Operator, rule: ElevationRule) -> None:
    if not rule.break_glass:
        raise ElevationNotAllowed("the policy does not grant it without an approval", reason="break_glass")
    if isinstance(who, Operator) or is_delegated(who):
        raise ElevationNotAllowed(
            "nothing is granted without an approval to a narrowed token, or without a token: sign in yourself",
            reason="delegated",
        )


def _id_of(who: AccessToken | Operator, key: str) -> str:
    Wish.check_text(key, "key")
    return hashlib.sha256(f"{who.issuer}\0{who.subject}\0{key}".encode()).hexdigest()[: 2 * _ID_BYTES]
