"""A quick reader for plain access tokens, in two steps: before and after the signature is verified.

A token is plain if it is written in the one canonical way, its JSON has no escapes and few objects, and each claim that
is checked has its simplest type and a value that passes. Almost every good token is. For any other token, good or bad,
both steps return None, and the careful reader does the whole step again: `jws.parse_compact` and `jws.read_json`, or
`claim_checks.check_claims`. The careful reader alone refuses tokens, and says why.

INVARIANT: what a step accepts, the careful reader accepts with the same result. A condition may be stricter than the
careful one and is never wider; `tests/tokens/test_quick_reader.py` compares the two readers.
"""

from __future__ import annotations

from binascii import a2b_base64
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from jwt_lp._support.json_nesting import MAX_DEPTH
from jwt_lp.errors import InvalidToken
from jwt_lp.jose.jws import ALPHABET, TAILS, JoseHeader, NotStrictJson, read_header, strict_decoder
from jwt_lp.tokens.claim_checks import MAX_NUMERIC_DATE, check_audience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.tokens.trusted_issuer import TrustedIssuer

MAX_PLAIN: Final = 4 * 1024
"""How long a plain token is at most. Refusing a longer one would cost too much if it were decoded twice."""

ReadToken: TypeAlias = "tuple[JoseHeader, dict[str, Any], bytes, bytes]"
"""The header, the claims, the bytes that were signed, and the signature, which is not verified."""

# The standard alphabet for base64url's characters, and for any other character one that the strict decoder refuses.
_OTHERS: Final = bytes(set(range(256)) - set(ALPHABET))
_TO_STANDARD: Final = bytes.maketrans(b"-_" + _OTHERS, b"+/" + b"!" * len(_OTHERS))
_scan: Final = make_scanner(cast("Any", strict_decoder()))


def read_plain(raw: bytes) -> ReadToken | None:
    """Read a plain compact JWS, `raw`, whose payload is a JSON object; None if the careful reader has to read it."""
    if len(raw) > MAX_PLAIN:
        return None
    signed, _, signature = raw.rpartition(b".")
    head, _, body = signed.partition(b".")
    if not (body and signature):
        return None
    # INVARIANT: the last characters have no bits that decoding drops.
    body_ends, body_padding = TAILS[len(body) & 3]
    signature_ends, signature_padding = TAILS[len(signature) & 3]
    if body[-1] not in body_ends or signature[-1] not in signature_ends:
        return None
    try:
        header = read_header(head)
        text = a2b_base64(body.translate(_TO_STANDARD) + body_padding, strict_mode=True).decode()
        claims = _read_plain_json(text)
        if claims is None:
            return None
        return (
            header,
            claims,
            signed,
            a2b_base64(signature.translate(_TO_STANDARD) + signature_padding, strict_mode=True),
        )
    except (ValueError, StopIteration, RecursionError, NotStrictJson, InvalidToken):
        return None


def _read_plain_json(text: str) -> dict[str, Any] | None:
    # Without a backslash every quote begins or ends a string, and no string has a lone surrogate. Without a blank after a
    # quote, each name is followed by a quote and a colon.
    if "\\" in text or '" ' in text or "\n" in text or "\t" in text or "\r" in text:
        return None
    flat = "[" not in text and text.find("{", 1) < 0
    # So few objects and lists cannot be nested too deeply.
    if not flat and text.count("{") + text.count("[") > MAX_DEPTH:
        return None
    value, end = _scan(text, 0)
    if end != len(text) or type(value) is not dict:
        return None
    claims = cast("dict[str, Any]", value)
    # INVARIANT: the text has no more names than such pairs. If the value has as many, no name was given twice.
    return claims if text.count('":') == (len(claims) if flat else _count_names(claims)) else None


def _count_names(value: object) -> int:
    """The number of members of all objects in a JSON value."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return len(members) + sum(map(_count_names, members.values()))
    return sum(map(_count_names, cast("list[object]", value))) if isinstance(value, list) else 0


class QuickChecks:
    """The checks of the claims of one issuer's tokens, for values of the simplest type only."""

    def __init__(self, issuer: TrustedIssuer) -> None:
        profile = issuer.profile
        self._issuer = issuer
        # INVARIANT: "" in `types` stands for an absent typ, which a header has as None. Issuers write `JWT` in capitals
        # (RFC 7519, section 5.1).
        types = {typ or None for typ in profile.types}
        self._types: frozenset[str | None] = frozenset({*types, "JWT"} if "jwt" in types else types)
        self._audience = profile.audience
        self._audiences = issuer.audience or frozenset()
        self._absent = profile.forbidden | {"cnf"}
        # The claims that have to be text where they are present, and what stands for an absent one.
        present = {profile.subject, *profile.required}
        texts = dict.fromkeys((profile.subject, *profile.client, profile.token_id))
        self._texts = tuple((name, "" if name in present else "absent") for name in texts)
        # Other claims that mark an access token.
        self._client_of = profile.client_of
        self._clients = issuer.clients
        self._required = tuple(name for name in profile.required if name not in {*texts, "iat", "exp"})
        self._any_of = profile.any_of
        self._expected = tuple(profile.expected.items())
        self._has_marks = bool(self._required or self._any_of or self._expected)
        self._max_lifetime = issuer.max_lifetime

    def check(self, typ: str | None, claims: Mapping[str, Any], now: float) -> tuple[int, int] | None:
        """Return `iat` and `exp` of claims that pass every check; None if the careful checks have to decide."""
        # Written out, because every new token takes this path.
        if not ("iat" in claims and "exp" in claims and typ in self._types and self._absent.isdisjoint(claims)):
            return None
        issued_at, expires_at = claims["iat"], claims["exp"]
        if not (
            # Exact types, because a bool is an int. A leeway only widens these bounds.
            type(issued_at) is int
            and type(expires_at) is int
            and 0 <= issued_at <= now < expires_at < MAX_NUMERIC_DATE
            and expires_at - issued_at <= self._max_lifetime
        ):
            return None
        for name, absent in self._texts:
            text = claims.get(name, absent)
            if not (type(text) is str and text and text.isprintable()):
                return None
        if self._clients is not None and self._client_of(claims) not in self._clients:
            return None
        audience = claims.get(self._audience)
        if not (audience in self._audiences if type(audience) is str else self._is_audience(claims)):
            return None
        if "nbf" in claims:
            not_before = claims["nbf"]
            if not (type(not_before) is int and 0 <= not_before <= now):
                return None
        return None if self._has_marks and not self._is_marked(claims) else (issued_at, expires_at)

    def _is_marked(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claims that mark an access token are there."""
        for name in self._required:
            if claims.get(name) is None:
                return False
        for names in self._any_of:
            if all(claims.get(name) is None for name in names):
                return False
        for name, values in self._expected:
            value = claims.get(name)
            if not (type(value) is str and value in values):
                return False
        return True

    def _is_audience(self, claims: Mapping[str, object]) -> bool:
        """Whether a list, or the claim that replaces an absent audience, names one of ours."""
        try:
            check_audience(self._issuer, claims)
        except InvalidToken:
            return False
        return True
