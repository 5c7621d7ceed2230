"""Benchmark of the start of a process: the imports and the first guard, compared with PyJWT alone.

Each sample is the CPU time of a new interpreter. All are taken in turn, so that other load on the machine affects each
alike. Every interpreter finds its bytecode, as in an installed service.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile

from jwt_lp import SigningKey

ROUNDS = 51
JWK = SigningKey.generate("ES256", kid="a").public_jwk()
SETTINGS = {"ISSUER": "https://login.example.com/", "AUDIENCE": "orders", "ALGORITHMS": ["ES256"]}
# The first verification loads more of the libraries. A guard has it done at start.
VERIFY = f"import jwt; key = jwt.PyJWK({JWK}); key.Algorithm.verify(b'', key.key, bytes(64))"
GUARD = f"from jwt_lp import Guard; Guard({SETTINGS | {'JWKS': {'keys': [JWK]}}})"

# What is measured, and what it is compared with.
CASES = {
    "import jwt, cryptography": ("import jwt, cryptography", None),
    "import jwt_lp": ("import jwt_lp", "import jwt, cryptography"),
    "from jwt_lp import Guard": ("from jwt_lp import Guard", "import jwt, cryptography"),
    "a key of PyJWT has verified": (VERIFY, None),
    "a guard with this key": (GUARD, "a key of PyJWT has verified"),
}


def main() -> None:
    """Print one line for each case."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for code, _ in CASES.values():
            _cpu_time(code, environment)
        samples = {name: list[float]() for name in CASES}
        for _ in range(ROUNDS):
            for name, (code, _) in CASES.items():
                samples[name].append(_cpu_time(code, environment))
    print(f"Python {sys.version.split()[0]}, {ROUNDS} interleaved rounds of new interpreters")
    for name, (_, reference) in CASES.items():
        line = f"{name:28} {statistics.median(samples[name]) * 1000:6.0f} ms"
        if reference is not None:
            ratios = [mine / theirs for mine, theirs in zip(samples[name], samples[reference], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            line += f", {middle:.2f} times as long as {reference!r} ({low:.2f} to {high:.2f})"
        print(line)


def _cpu_time(code: str, environment: dict[str, str]) -> float:
    arguments = [sys.executable, "-P", "-c", code]
    child = os.posix_spawn(sys.executable, arguments, environment)
    _, status, usage = os.wait4(child, 0)
    assert status == 0, code
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
