"""The published JWS vectors of C2SP/wycheproof, from token and key to the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jwt_lp.errors import ConfigurationError, InvalidToken
from jwt_lp.jose.remote_jwks import StaticKeys
from jwt_lp.tokens.verification import verify_signature
from prerequisites import require

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "json_web_signature_test.json"

# Labels that are wrong for a verifier that pins the key's algorithm: 346 and 350 have a PS384 token and a PS256
# key, 347 and 351 a key of the unregistered ES521, 372 and 373 a "?" within base64url; 367 and 370 are byte for
# byte the valid 357 (C2SP/wycheproof#236).
REJECTED_AFTER_ALL = {346, 347, 350, 351, 372, 373}
ACCEPTED_AFTER_ALL = {367, 370}


def load() -> list[tuple[int, dict[str, Any], str, bool]]:
    """Return number, key, token and corrected result of each vector."""
    require(VECTORS.is_file(), f"the vectors are read from {VECTORS.name} in the folder shared/ beside the repository")
    groups = json.loads(VECTORS.read_text())["testGroups"]
    cases = [(group.get("public") or group["private"], test) for group in groups for test in group["tests"]]
    return [(test["tcId"], key, test["jws"], expected(test)) for key, test in cases]


def expected(test: dict[str, Any]) -> bool:
    number = test["tcId"]
    return number in ACCEPTED_AFTER_ALL or (test["result"] == "valid" and number not in REJECTED_AFTER_ALL)


def accepts(key: dict[str, Any], token: str) -> bool:
    """Return whether the token verifies; only our own errors may refuse it."""
    try:
        verify_signature(token, StaticKeys.from_jwks(key))
    except (InvalidToken, ConfigurationError):
        return False
    return True


def test_every_vector_has_its_verdict() -> None:
    """All 401 vectors are accepted or rejected as published, except for the eight labels that are wrong."""
    cases = load()
    wrong = [number for number, key, token, verdict in cases if accepts(key, token) is not verdict]
    assert (401, []) == (len(cases), wrong)


def test_the_vectors_have_both_verdicts() -> None:
    """The vectors are not only rejections: 42 of the tokens must be accepted."""
    assert 42 == sum(verdict for *_, verdict in load())
