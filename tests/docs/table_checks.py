"""Is it true what a table states?

Each function takes a table and the page's names, and fails at the row that is not so.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from docs.pages import MarkdownTable, Namespace, code, codes
from jwt_lp import AccessToken, ConfigurationError, InvalidToken, Permissions, Policy, Settings, Verifier
from jwt_lp.jose import sign
from jwt_lp.testing import Authority
from jwt_lp.tokens.provider_claims import shape_claims

Check = Callable[[MarkdownTable, Namespace], None]

# The day on which a page's dates are near; a date that has passed needs no such day.
TODAY: Final = date(2026, 12, 1)


def written(table: MarkdownTable, names: Namespace) -> None:
    """Code that cannot be evaluated without that `ConfigurationError`."""
    for expression, fault in table.rows:
        assert code(fault) == _fault(eval, code(expression), names)


def settings(table: MarkdownTable, names: Namespace) -> None:
    """Settings that `JWT_LP`, with these added, cannot be."""
    for added, fault in table.rows:
        mapping = {**names["JWT_LP"], **eval("{" + code(added) + "}", names)}
        assert code(fault) == _fault(read, mapping), added


def in_file(table: MarkdownTable, names: Namespace) -> None:
    """What a policy file cannot hold."""
    for line, fault in table.rows:
        path = Path("table.toml")
        path.write_text(f"version = 1\n{code(line)}\n", encoding="utf-8")
        assert code(fault) == _fault(Policy.load, path).removeprefix("table.toml:2: "), line


def covers(table: MarkdownTable, names: Namespace) -> None:
    """What a grant covers, and what it does not; what stands in brackets explains."""
    for grant, covered, not_covered in table.rows:
        held = Permissions.of([code(grant)], patterns=True)
        assert [] == [each for each in codes(covered) if each not in held], grant
        assert [] == [each for each in codes(re.sub(r"\(.*?\)", "", not_covered)) if each in held], grant


def confers(table: MarkdownTable, names: Namespace) -> None:
    """The permissions that a user's token with these claims holds."""
    for added, conferred in table.rows:
        held = _verified(code(added), names["JWT_LP"]).permissions
        assert codes(conferred) == [grant.text for grant in held if grant.text in held], added


def refuses(table: MarkdownTable, names: Namespace) -> None:
    """How a token with these claims is refused."""
    for added, cause, detail in table.rows:
        try:
            _verified(code(added), names["JWT_LP"])
        except InvalidToken as error:
            found = (error.cause, error.detail)
        else:
            found = ("no fault", "")
        assert (code(cause), code(detail)) == found, added


CHECKS: Final[Mapping[tuple[str, ...], Check]] = {
    ("written", "fault"): written,
    ("setting", "fault"): settings,
    ("in the file", "fault"): in_file,
    ("a grant of", "covers", "does not cover"): covers,
    ("in the token", "confers"): confers,
    ("in the token", "cause", "what the log says"): refuses,
}


def read(mapping: Mapping[str, object]) -> Settings:
    """The settings, as read where nothing is set in the environment; `ConfigurationError` for faults."""
    return Settings.from_mapping(mapping, environ={}, today=TODAY)


def _fault(make: Callable[..., object], *given: object) -> str:
    try:
        made = make(*given)
    except ConfigurationError as error:
        return str(error)
    return f"no fault: {made!r}"


def _verified(added: str, jwt_lp: Mapping[str, Any]) -> AccessToken:
    """What comes of a token of the configured issuer, shaped as its profile says, with these claims put in."""
    authority = Authority()
    key = authority.key
    kept = {name: value for name, value in jwt_lp.items() if name not in {"JWKS_URL", "DISCOVERY"}}
    settings = read({**kept, "ALGORITHMS": [key.algorithm], "JWKS": authority.jwks()})
    (issuer,) = settings.issuers
    assert issuer.static is not None
    now = int(time.time())
    registered = {"iss": issuer.issuer, "sub": "alice", "aud": min(issuer.audience), "client_id": "web", "jti": "1"}
    claims, typ = shape_claims(issuer.profile, {**registered, "iat": now, "exp": now + 300}, (), ())
    claims.update(ast.literal_eval("{" + added + "}"))
    typ = claims.pop("header.typ", typ)  # type: ignore[assignment]
    said = {name: value for name, value in claims.items() if value is not None}
    return Verifier([issuer.to_trusted_issuer(issuer.static)], settings.policy).verify(sign(said, key, typ=typ))
