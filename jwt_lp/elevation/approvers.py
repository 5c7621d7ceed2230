"""Who may decide about an elevation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jwt_lp.elevation.identities import identities, person_of, standing_grants
from jwt_lp.errors import ElevationNotAllowed
from jwt_lp.permissions.grants import Permissions
from jwt_lp.permissions.patterns import ELEVATION_PREFIX
from jwt_lp.tokens.delegation import is_delegated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.stores import Elevation, Store
    from jwt_lp.tokens.claims import AccessToken


def check_approver(
    token: AccessToken, elevation: Elevation, rule: ElevationRule, *, person: str, store: Store | None
) -> None:
    """Raise `ElevationNotAllowed` unless the bearer of `token` may decide about `elevation`.

    `person` is the claim that identifies a person at all issuers. Without a store, what the store has seen before is not
    checked.
    """
    check_standing(token, rule)
    _check_other_person(token, elevation, rule, person)
    if store is not None and rule.approver_since:
        _check_seen(token, elevation, rule, store)


def check_standing(token: AccessToken, rule: ElevationRule) -> None:
    """Raise `ElevationNotAllowed` unless the token itself holds the permission that decides, by a standing grant."""
    if is_delegated(token):
        raise ElevationNotAllowed(
            "a token that was narrowed, or that somebody else acts with, decides nothing: sign in yourself",
            reason="delegated",
        )
    # INVARIANT: what somebody holds by an elevation decides about no elevation.
    if not standing_grants(token, rule.approve):
        if rule.approve in token.permissions:
            raise ElevationNotAllowed(
                f"{rule.approve} is held by an elevation, which decides nothing", reason="elevated"
            )
        raise ElevationNotAllowed(f"only holders of {rule.approve} decide about this", reason="approver")


def is_asker(token: AccessToken, elevation: Elevation) -> bool:
    """Whether the token names the asker, by any of the identities of either."""
    asker = {(elevation.issuer, elevation.subject), *elevation.known_as}
    names = {*identities(token), *([(token.issuer, token.client)] if token.client else ())}
    return not asker.isdisjoint(names)


def is_owner(token: AccessToken, elevation: Elevation) -> bool:
    """Whether the token's subject, or the one that it was exchanged from, is the elevation's.

    Those who only act for the asker are not, because their names may be those of other subjects.
    """
    asker = {
        (elevation.issuer, elevation.subject),
        *(pair for pair in elevation.known_as if pair[0] != elevation.issuer),
    }
    original = None if token.lineage is None else token.lineage.subject
    return not asker.isdisjoint({(token.issuer, token.subject), *([original] if original else ())})


def decides(token: AccessToken, rules: Iterable[ElevationRule]) -> bool:
    """Whether the token holds the permission that decides by one of the rules."""
    for rule in rules:
        try:
            check_standing(token, rule)
        except ElevationNotAllowed:
            continue
        return True
    return False


def _check_other_person(token: AccessToken, elevation: Elevation, rule: ElevationRule, claim: str) -> None:
    person = person_of(token, claim)
    mine = (token.issuer, token.subject) == (elevation.issuer, elevation.subject)
    if mine and rule.own:
        return
    # INVARIANT: nobody approves for oneself: not as the same subject, not as one that a token of the asker names, not as
    # the client that asked, and not as another account of the same person.
    if is_asker(token, elevation) or (person and person == elevation.person):
        raise ElevationNotAllowed("nobody decides about a request of their own", reason="own")
    elsewhere = token.issuer != elevation.issuer
    if elsewhere and token.issuer_name.lower() not in rule.approver_issuers:
        raise ElevationNotAllowed("approvers sign in at the asker's issuer", reason="issuer")
    # INVARIANT: a token without the claim makes nobody another person, because clients choose which claims they get.
    # What an operator asked for, which no client did, has none.
    needed = elsewhere or (bool(claim or elevation.person) and elevation.client is not None)
    if needed and not (person and elevation.person):
        raise ElevationNotAllowed(
            "it is not known whether the approver is another person: the tokens of both need the claim that identifies "
            "the person",
            reason="person",
        )


def _check_seen(token: AccessToken, elevation: Elevation, rule: ElevationRule, store: Store) -> None:
    """Refuse an approver whom the store has not seen with the permission long enough before the request."""
    latest = datetime.fromtimestamp(elevation.asked_at - rule.approver_since, UTC).date().isoformat()
    for row in store.observed_grants(issuer=token.issuer, subject=token.subject):
        standing = not row.role.startswith(ELEVATION_PREFIX)
        if standing and row.first_day < latest and rule.approve in Permissions.of([row.grant], patterns=True):
            return
    raise ElevationNotAllowed(
        f"{rule.approve} was given too recently: whoever decides has held it for {rule.approver_since} seconds before "
        "the request",
        reason="new_approver",
    )
