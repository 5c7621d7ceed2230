"""A process that refreshes for tests with several processes: `python -m signin.refresh_process FUNCTION URL ARGUMENT`.

The signing key is in TESTS_KEY.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from jwt_lp import Issuer, SignIn, SigningKey, SignInRefused, StoreError
from jwt_lp.stores import open_store

if TYPE_CHECKING:
    from jwt_lp import Sessions, Tokens

SUBJECTS = 20


def sessions(url: str) -> Sessions:
    key = SigningKey.from_jwk(json.loads(os.environ["TESTS_KEY"]))
    issuer = Issuer("https://issuer.test/", key, audience="shop", client="web")
    return SignIn(issuer, open_store(url), permissions=lambda _: ["orders:read"]).sessions


def renew(on: Sessions, token: str, counts: Counter[str]) -> Tokens | None:
    """Refresh as an honest client does: try again if the store does not answer; None if the token is refused."""
    for _ in range(20):
        try:
            tokens = on.renew(token)
        except StoreError:
            counts["retries"] += 1
            time.sleep(0.05)
        except SignInRefused:
            return None
        else:
            counts["refreshes"] += 1
            return tokens
    raise AssertionError("the store never answered")


def load(url: str, argument: str) -> None:
    """Refresh for honest clients; with each hundredth client a thief uses an older token, which must end its family."""
    number, seed = map(int, argument.split(","))
    generator = random.Random(seed)
    on, counts = sessions(url), Counter[str]()
    clients = [on.start(f"subject{index}") for index in range(SUBJECTS)]
    with ThreadPoolExecutor(2) as threads:
        while counts["refreshes"] < number:
            index = generator.randrange(SUBJECTS)
            token = clients[index].refresh_token
            kind = generator.random()
            # One in ten sends it twice at once, as two tabs do.
            calls = [threads.submit(renew, on, token, counts) for _ in range(2 if kind < 0.1 else 1)]
            answers = [call.result() for call in calls]
            newest = generator.choice(answers)
            counts["honest signed out"] += answers.count(None)
            if newest is None:
                break
            clients[index] = newest
            if kind > 0.99:
                clients[index] = reuse(on, token, newest, counts)
    sys.stdout.write(json.dumps(counts))


def reuse(on: Sessions, older: str, newest: Tokens, counts: Counter[str]) -> Tokens:
    """Let a thief use the last token but two, and see that everything of the family is out; return a new session."""
    later = renew(on, newest.refresh_token, counts)
    assert later is not None
    counts["reuses"] += 1
    caught = renew(on, older, counts) is None and renew(on, later.refresh_token, counts) is None
    counts["reuses caught"] += caught
    return on.start(newest.subject)


def at_once(url: str, argument: str) -> None:
    """Refresh the same token as other processes do, at the same time; print the number of the successor."""
    from jwt_lp.signin.refresh_tokens import RefreshTokenCodec

    at, token = argument.split(",")
    on = sessions(url)
    codec: RefreshTokenCodec = on._refresh_tokens  # pyright: ignore[reportPrivateUsage]
    time.sleep(max(0.0, float(at) - time.time()))
    tokens = renew(on, token, Counter())
    sys.stdout.write("refused" if tokens is None else str(codec.read(tokens.refresh_token).counter))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
