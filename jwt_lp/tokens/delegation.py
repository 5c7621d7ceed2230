"""The delegation that our own tokens state: lineage, actors and original subject.

Three claims hold it: `lineage` is private, `act` is from RFC 8693, section 4.1, and `sub_id` from
RFC 9493. A downscoped token is revoked with each of its ancestors, and a token with each elevation that it rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.tokens.claims import AccessToken

MAX_DEPTH: Final = 4
"""The maximum number of ancestors of a token, and of actors."""

MAX_ELEVATIONS: Final = 8
"""The maximum number of elevations that a token rests on."""

MAX_TASK: Final = 128
"""The maximum length of the name of a task."""

LINEAGE_CLAIMS: Final = frozenset({"lineage", "act", "sub_id"})
"""The claims that hold the lineage."""

_LAST_DATE: Final = 10**15


class Ancestor(NamedTuple):
    """What a token of the same issuer comes from: its id, and when it was issued, in seconds since the epoch."""

    token_id: str
    issued_at: int

    @property
    def lineage_claim(self) -> dict[str, object]:
        """The `lineage` claim of a token whose only ancestor this is."""
        return {"iat": self.issued_at, "ids": [self.token_id]}


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a token comes from, and what it is for.

    `issued_at` is when its first ancestor was issued, in seconds since the epoch. `ancestors` are their (issuer, token
    id), oldest first. `clients` are the clients that the ancestors were issued to. `actors` are those that act with the
    token, the current one first. `subject` is the (issuer, subject) of the first ancestor if another issuer made it,
    otherwise None.
    """

    issued_at: float
    ancestors: tuple[tuple[str, str], ...]
    clients: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    subject: tuple[str, str] | None = None
    elevations: tuple[tuple[str, str], ...] = ()
    task: str = ""

    @property
    def is_narrowed(self) -> bool:
        """Whether the token was downscoped: those of a session, and those that rest on elevations alone, were not."""
        # Our issuers name the client of every ancestor that was one of their tokens, and the subject of any other.
        return bool(self.clients or self.actors) or self.subject is not None

    @classmethod
    def from_claims(cls, claims: Mapping[str, object], issuer: str) -> Lineage | None:
        """Read the lineage from the claims of a token of our own; None if it comes from nothing.

        Raises `InvalidToken` for a shape that our issuers do not write.
        """
        if LINEAGE_CLAIMS.isdisjoint(claims):
            return None
        # INVARIANT: a token with an actor or an original subject must also name its ancestors.
        lineage = _object(claims.get("lineage"), "lineage")
        subject = _read_sub_id(claims["sub_id"]) if "sub_id" in claims else None
        elevations = _texts(lineage.get("elevations", ()), "lineage.elevations", MAX_ELEVATIONS)
        ids = _texts(lineage.get("ids", () if elevations else None), "lineage.ids")
        # INVARIANT: only elevations may stand without an ancestor, so an actor or an original subject never does.
        if not ids and (not elevations or "act" in claims or subject is not None):
            raise _fault("lineage.ids")
        first = issuer if subject is None else subject[0]
        issuers = [first, *[issuer] * len(ids)][: len(ids)]
        return cls(
            _date(lineage.get("iat")),
            tuple(zip(issuers, ids, strict=True)),
            _texts(lineage.get("clients", ()), "lineage.clients"),
            tuple(actors(claims.get("act"))),
            subject,
            tuple((first, name) for name in elevations),
            _text(lineage["task"], "lineage.task") if "task" in lineage else "",
        )


def is_delegated(token: AccessToken) -> bool:
    """Whether a token was downscoped, or somebody else acts with it. A token of a session is neither."""
    narrowed = token.lineage is not None and token.lineage.is_narrowed
    return narrowed or "act" in token._claims  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - no copy is needed


def actors(act: object) -> Iterator[str]:
    """Yield the actors of a nested `act` claim, the current one first; raise `InvalidToken` for another shape."""
    depth = 0
    while act is not None:
        depth += 1
        actor = _object(act, "act")
        if depth > MAX_DEPTH:
            raise _fault("act")
        yield _text(actor.get("sub"), "act.sub")
        act = actor.get("act")


def _read_sub_id(value: object) -> tuple[str, str]:
    sub_id = _object(value, "sub_id")
    if sub_id.get("format") != "iss_sub":
        raise _fault("sub_id.format")
    return _text(sub_id.get("iss"), "sub_id.iss"), _text(sub_id.get("sub"), "sub_id.sub")


def _object(value: object, what: str) -> Mapping[str, object]:
    if is_json_object(value):
        return value
    raise _fault(what)


def _texts(value: object, what: str, most: int = MAX_DEPTH) -> tuple[str, ...]:
    if is_json_array(value) and len(value) <= most:
        return tuple(_text(item, what) for item in value)
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
