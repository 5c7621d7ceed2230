"""Which tokens does this one come from, and who acts with it?

What tokens of our own say of their descent: `lineage` is ours, `act` is RFC 8693, section 4.1, and `sub_id` is
RFC 9493. A token that was narrowed falls with any token that it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import InvalidToken

MAX_DEPTH: Final = 4
"""How many ancestors a token may have, and how many actors."""

LINEAGE_CLAIMS: Final = frozenset({"lineage", "act", "sub_id"})
"""The claims that say it."""

_LAST_DATE: Final = 10**15


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a narrowed token comes from.

    `issued_at` is when the first of its ancestors was issued, in seconds since the epoch; `ancestors` are their
    (issuer, token id), oldest first; `clients` are those that earlier ones were issued to; `actors` are who acts
    with it, the current one first; `subject` is the (issuer, subject) of a first ancestor that another issuer
    made, None where it was ours.
    """

    issued_at: float
    ancestors: tuple[tuple[str, str], ...]
    clients: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    subject: tuple[str, str] | None = None

    @classmethod
    def from_claims(cls, claims: Mapping[str, object], issuer: str) -> Lineage | None:
        """What the claims of a token of ours say; None where it was not narrowed.

        `InvalidToken` for a shape that we would not write.
        """
        if LINEAGE_CLAIMS.isdisjoint(claims):
            return None
        # INVARIANT: who acts with a token, or was its subject, is never said without saying what it comes from.
        said = _object(claims.get("lineage"), "lineage")
        subject = _read_sub_id(claims["sub_id"]) if "sub_id" in claims else None
        ids = _texts(said.get("ids"), "lineage.ids")
        if not ids:
            raise _fault("lineage.ids")
        issuers = [issuer if subject is None else subject[0], *[issuer] * (len(ids) - 1)]
        return cls(
            _date(said.get("iat")),
            tuple(zip(issuers, ids, strict=True)),
            _texts(said.get("clients", ()), "lineage.clients"),
            tuple(actors(claims.get("act"))),
            subject,
        )


def actors(act: object) -> Iterator[str]:
    """Who acts, the current one first, as an `act` claim nests them; `InvalidToken` for another shape."""
    depth = 0
    while act is not None:
        depth += 1
        said = _object(act, "act")
        if depth > MAX_DEPTH:
            raise _fault("act")
        yield _text(said.get("sub"), "act.sub")
        act = said.get("act")


def _read_sub_id(value: object) -> tuple[str, str]:
    said = _object(value, "sub_id")
    if said.get("format") != "iss_sub":
        raise _fault("sub_id.format")
    return _text(said.get("iss"), "sub_id.iss"), _text(said.get("sub"), "sub_id.sub")


def _object(value: object, what: str) -> Mapping[str, object]:
    if is_json_object(value):
        return value
    raise _fault(what)


def _texts(value: object, what: str) -> tuple[str, ...]:
    if is_json_array(value) and len(value) <= MAX_DEPTH:
        return tuple(_text(each, what) for each in value)
    raise _fault(what)


def _text(value: object, what: str) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise _fault(what)


def _date(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LAST_DATE:
        return value
    raise _fault("lineage.iat")


def _fault(what: str) -> InvalidToken:
    return InvalidToken("claim_type", f"{what} is not in the form that our issuers use")
