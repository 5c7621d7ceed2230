"""Refused tokens by kind: what a refusal costs, with and without a log, and what PyJWT takes to refuse the same token.

A refusal has to be cheap, since anybody can send a bad token. One that is refused before the signature is verified costs
no cryptography at all.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import jwt

from benchmarks import peers
from benchmarks.figures import Figure
from benchmarks.rounds import Work, measure
from benchmarks.scale import Scale
from benchmarks.workbench import CALL, ROUTE, SCOPES, WANTED, logging_off, logging_to_nowhere
from jwt_lp import Guard, all_of
from jwt_lp.jose.signing import sign
from jwt_lp.testing.authority import Authority

OPERATIONS: Final = 60
ALGORITHM: Final = "ES256"

VARIANTS: Final = 100
"""How many different headers a kind has where it has several: more than are kept."""


class Kind(NamedTuple):
    """A kind of refused tokens: such tokens, and whether their signature is verified before they are refused."""

    what: str
    headers: tuple[str, ...]
    verified: bool = False


def run(scale: Scale) -> list[Figure]:
    """The figures of each kind."""
    authority = Authority(algorithm=ALGORITHM)
    with authority.guard() as guard, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [figure for kind in kinds(authority) for figure in _of_kind(guard, authority, kind, scale)]


def kinds(authority: Authority) -> Iterator[Kind]:
    """Every kind; first those that are refused before the signature."""
    good = authority.token("alice", SCOPES, lifetime=3600)
    header, payload, signature = good.split(".")
    members, claims = _decode(header), _decode(payload)

    def with_header(**changed: str | list[str]) -> tuple[str, ...]:
        """The good token with another header, a different one in each, so that none was read before."""
        headers = (_encode({**members, **changed, "number": number}) for number in range(VARIANTS))
        return tuple(f"Bearer {each}.{payload}.{signature}" for each in headers)

    def with_claims(text: str) -> tuple[str]:
        """The good token with other claims."""
        return (f"Bearer {header}.{_encode(text)}.{signature}",)

    twice = _encode(json.dumps(members)[:-1] + ', "alg": "ES256"}')
    yield Kind("a malformed Authorization header", (f"Bearer {good}, {good}",))
    yield Kind("a token of 1 MB", ("Bearer " + "A" * 1_000_000,))
    yield Kind("two segments", (f"Bearer {header}.{payload}",))
    yield Kind("a character outside base64url", (f"Bearer {header}.{payload[:-1]}!.{signature}",))
    yield Kind("base64url that is not canonical", (f"Bearer {good[:-1]}{_next(good[-1])}",))
    yield Kind("a header that is not JSON", (f"Bearer {_encode('{')}.{payload}.{signature}",))
    yield Kind("a header with a member twice", (f"Bearer {twice}.{payload}.{signature}",))
    yield Kind("alg none", with_header(alg="none"))
    yield Kind("another algorithm", with_header(alg="HS256"))
    yield Kind("an unknown kid", with_header(kid="another"))
    yield Kind("a critical extension", with_header(crit=["exp"]))
    yield Kind("claims with a member twice", with_claims(json.dumps(claims)[:-1] + ', "sub": "bob"}'))
    yield Kind("claims nested 5,000 deep", with_claims('{"a":' + "[" * 5000 + "]" * 5000 + "}"))
    yield Kind("another issuer", with_claims(json.dumps({**claims, "iss": "https://other.test"})))
    yield Kind("a signature of another key", with_claims(json.dumps({**claims, "sub": "bob"})), verified=True)
    yield Kind("expired", (_signed(authority, claims, iat=claims["iat"] - 60, exp=claims["iat"] - 1),), verified=True)
    yield Kind("another audience", (_signed(authority, claims, aud="https://other.test"),), verified=True)
    yield Kind("another typ", ("Bearer " + authority.token("alice", SCOPES, typ="JWT"),), verified=True)
    yield Kind("no subject", (_signed(authority, claims, sub=None),), verified=True)


def _of_kind(guard: Guard, authority: Authority, kind: Kind, scale: Scale) -> list[Figure]:
    number, requirement, headers = scale.of(OPERATIONS), all_of(WANTED), kind.headers

    def ours(turn: int) -> int:
        for index in range(number):
            header = headers[(turn * number + index) % len(headers)]
            assert guard.check(header, requirement, {}, ROUTE, call=CALL).refusal is not None
        return number

    def logged(turn: int) -> int:
        with logging_to_nowhere():
            return ours(turn)

    works: dict[str, Work] = {"logged": logged, "not logged": _not_logged(ours)}
    theirs = _pyjwt(authority, kind, number)
    if theirs is not None:
        works["PyJWT"] = theirs
    rounds = measure(works, scale.rounds)
    what = kind.what if not kind.verified else f"{kind.what} (signature verified)"
    return [
        Figure.of_cost(rounds, f"{what}, logged", "logged"),
        Figure.of_cost(rounds, f"{what}, not logged", "not logged"),
        *([Figure.of_times(rounds, what, "not logged", "PyJWT")] if theirs is not None else []),
    ]


def _not_logged(work: Work) -> Work:
    def quietly(turn: int) -> int:
        with logging_off():
            return work(turn)

    return quietly


def _pyjwt(authority: Authority, kind: Kind, number: int) -> Work | None:
    """PyJWT's refusal of the same token; None if it accepts the token or fails in another way."""
    decide, token = peers.pyjwt(authority, WANTED), kind.headers[0].removeprefix("Bearer ")
    if "," in token or not _refuses(decide, token):
        # A list of two tokens never reaches a library for tokens.
        return None

    def work(_: int) -> int:
        for _ in range(number):
            with suppress(jwt.InvalidTokenError):
                decide(token)
        return number

    return work


def _refuses(decide: Callable[[str], object], token: str) -> bool:
    try:
        decide(token)
    except jwt.InvalidTokenError:
        return True
    except Exception:  # noqa: BLE001 - whatever it is, it is no refusal
        return False
    return False


def _signed(authority: Authority, claims: Mapping[str, Any], **changed: object) -> str:
    """A header with a token of the authority, with other claims; None removes one."""
    body = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    return "Bearer " + sign(body, authority.key, typ="at+jwt")


def _encode(part: object) -> str:
    text = part if isinstance(part, str) else json.dumps(part)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(segment: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return members


def _next(character: str) -> str:
    """The character after this one in the alphabet: it differs in bits that decoding drops."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) + 1]
