"""Compact permissions of real assignments."""

from __future__ import annotations

import csv
import logging
import random
from pathlib import Path

import pytest

from examples import SHARE
from jwt_lp import Guard, Issuer, Policy, all_of
from jwt_lp.jose.signing import SigningKey
from jwt_lp.testing.authority import AUDIENCE, ISSUER
from prerequisites import require

ASSIGNMENTS = Path(__file__).parents[3] / "shared" / "data" / "assignments.csv"


@pytest.mark.once
def test_text_and_compact_mean_the_same_to_the_guard(caplog: pytest.LogCaptureFixture) -> None:
    """For every user of a real assignment, or for a share of them, the guard decides alike from both forms."""
    require(ASSIGNMENTS.exists(), "real assignments: ../shared/data/assignments.csv beside the project")
    caplog.set_level(logging.CRITICAL, logger="jwt_lp")  # a hundred thousand refusals are meant
    held: dict[str, list[str]] = {}
    with ASSIGNMENTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            held.setdefault(row["user"], []).append(f"perm:{row['permission']}:use")
    names = sorted({text for texts in held.values() for text in texts})
    policy = Policy.from_mapping({"version": 1, "permissions": {name: {} for name in names}})
    assert 10_021 == len(held)
    dice = random.Random(10_021)
    users = dice.sample(sorted(held), round(len(held) * SHARE))
    secret = SigningKey.generate("HS256")
    plain, short = (
        Issuer(ISSUER, secret, policy=policy, audience=AUDIENCE, client="web", compact=compact)
        for compact in (False, True)
    )
    settings = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "ALGORITHMS": ["HS256"], "OWN": True, "POLICY": policy}
    requirements = {name: all_of(name) for name in names}
    shorter = 0
    with Guard({**settings, "JWKS": {"keys": [secret.public_jwk()]}}) as guard:
        for user in users:
            texts = held[user]
            tokens = [issuer.issue(user, permissions=texts) for issuer in (plain, short)]
            shorter += len(tokens[1]) < len(tokens[0])
            read = [guard.verifier.verify(token) for token in tokens]
            assert {grant.text for grant in read[0].permissions} == {grant.text for grant in read[1].permissions}
            for name in {*dice.sample(names, 5), *dice.sample(texts, min(3, len(texts)))}:
                answers = {guard.check(f"Bearer {token}", requirements[name], {}, "GET /").passes for token in tokens}
                assert {name in texts} == answers
    # Otherwise both would have been the same token.
    assert shorter > len(users) / 2
