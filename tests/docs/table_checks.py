"""Checks of the tables in the docs.

Each function takes a table and the page's names, and fails at the first wrong row.
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
from jwt_lp.jose.signing import sign
from jwt_lp.testing import Authority
from jwt_lp.tokens.provider_claims import shape_claims

Check = Callable[[MarkdownTable, Namespace], None]

# Dates on the pages are checked as of this day.
TODAY: Final = date(2026, 12, 1)


def written(table: MarkdownTable, names: Namespace) -> None:
    """Check that evaluating the code raises that `ConfigurationError`."""
    for expression, fault in table.rows:
        assert code(fault) == _fault(eval, code(expression), names)


def settings(table: MarkdownTable, names: Namespace) -> None:
    """Check the fault of `JWT_LP` with these settings added."""
    for added, fault in table.rows:
        mapping = {**names["JWT_LP"], **eval("{" + code(added) + "}", names)}
        assert code(fault) == _fault(read, mapping), added


def in_file(table: MarkdownTable, names: Namespace) -> None:
    """Check the fault of a policy file with this line."""
    for line, fault in table.rows:
        path = Path("table.toml")
        path.write_text(f"version = 1\n{code(line)}\n", encoding="utf-8")
        assert code(fault) == _fault(Policy.load, path).removeprefix("table.toml:2: "), line


def covers(table: MarkdownTable, names: Namespace) -> None:
    """Check what a grant covers and what it does not; text in brackets is an explanation."""
    for grant, covered, not_covered in table.rows:
        held = Permissions.of([code(grant)], patterns=True)
        assert [] == [permission for permission in codes(covered) if permission not in held], grant
        assert [] == [permission for permission in codes(re.sub(r"\(.*?\)", "", not_covered)) if permission in held], (
            grant
        )


def confers(table: MarkdownTable, names: Namespace) -> None:
    """Check the permissions that a user's token with these claims holds."""
    for added, conferred in table.rows:
        held = _verified(code(added), names["JWT_LP"]).permissions
        assert codes(conferred) == [grant.text for grant in held if grant.text in held], added


def refuses(table: MarkdownTable, names: Namespace) -> None:
    """Check how a token with these claims is refused."""
    for added, cause, detail in table.rows:
        try:
            _verified(code(added), names["JWT_LP"])
        except InvalidToken as error:
            refusal = (error.cause, error.detail)
        else:
            refusal = ("no fault", "")
        assert (code(cause), code(detail)) == refusal, added


CHECKS: Final[Mapping[tuple[str, ...], Check]] = {
    ("written", "fault"): written,
    ("setting", "fault"): settings,
    ("in the file", "fault"): in_file,
    ("a grant of", "covers", "does not cover"): covers,
    ("in the token", "confers"): confers,
    ("in the token", "cause", "what the log says"): refuses,
}


def read(mapping: Mapping[str, object]) -> Settings:
    """The settings, read with an empty environment; `ConfigurationError` for faults."""
    return Settings.from_mapping(mapping, environ={}, today=TODAY)


def _fault(make: Callable[..., object], *given: object) -> str:
    try:
        made = make(*given)
    except ConfigurationError as error:
        return str(error)
    return f"no fault: {made!r}"


def _verified(added: str, jwt_lp: Mapping[str, Any]) -> AccessToken:
    """Verify a token of the configured issuer, in the form of its profile, with these claims added."""
    authority = Authority()
    key = authority.key
    other_settings = {name: value for name, value in jwt_lp.items() if name not in {"JWKS_URL", "DISCOVERY"}}
    settings = read({**other_settings, "ALGORITHMS": [key.algorithm], "JWKS": authority.jwks()})
    (issuer,) = settings.issuers
    assert issuer.static is not None
    now = int(time.time())
    registered = {"iss": issuer.issuer, "sub": "alice", "aud": min(issuer.audience), "client_id": "web", "jti": "1"}
    claims, typ = shape_claims(issuer.profile, {**registered, "iat": now, "exp": now + 300}, (), ())
    claims.update(ast.literal_eval("{" + added + "}"))
    typ = claims.pop("header.typ", typ)  # type: ignore[assignment]
    present = {name: value for name, value in claims.items() if value is not None}
    return Verifier([issuer.to_trusted_issuer(issuer.static)], settings.policy).verify(sign(present, key, typ=typ))
