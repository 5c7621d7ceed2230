"""What each figure has to reach: the one table that `make bench-check` reads and the docs show.

Some goals are higher than these floors; the docs list them, and say what bounds each.
A ratio compares two things on one machine, so `make bench-check` can fail because of it. A time depends on the machine:
it is a goal for the one that the docs name, and nothing fails because of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.figures import RATIOS, Figure, Key, Results, Unit, by_key

NOISY: Final = 0.25
"""A spread of the quartiles, as a share of the median, beyond which "within spread" says little."""

Verdict = Literal["reached", "within spread", "missed", "not measured"]


@dataclass(frozen=True, slots=True)
class Floor:
    """The least value of a figure, or with `most` the greatest. With `quiet` it is that of the quiet half of rounds."""

    key: Key
    limit: float
    unit: Unit
    most: bool = False
    quiet: bool = False

    @property
    def is_checked(self) -> bool:
        """Whether missing it makes `make bench-check` fail: only a ratio does."""
        return self.unit in RATIOS

    def judge(self, figure: Figure | None) -> Verdict:
        """Whether the figure reaches it; "within spread" if the median misses it and the better quartile does not.

        The floor of the quiet half has the spread of all rounds. A value that is no number misses every floor.
        """
        if figure is None:
            return "not measured"
        if figure.unit != self.unit:
            raise ValueError(f"{self.key} is in {figure.unit}, and its floor in {self.unit}")
        median = figure.quiet if self.quiet and figure.quiet is not None else figure.value.median
        better = figure.value.median - figure.value.low if self.most else figure.value.high - figure.value.median
        if self._holds(median):
            return "reached"
        return "within spread" if self._holds(median + (-better if self.most else better)) else "missed"

    def _holds(self, value: float) -> bool:
        return value <= self.limit if self.most else value >= self.limit

    def __str__(self) -> str:
        return f"{'at most' if self.most else 'at least'} {self.limit:g}"


def _floors() -> Iterator[Floor]:
    # A token never seen: times as fast as each library, and microseconds beyond the bare verification.
    yield from _least("cold", "PyJWT", {"RS256": 1.8, "ES256": 1.3, "EdDSA": 1.2, "HS256": 2.6})
    yield from _least("cold", "joserfc", {"RS256": 1.2, "ES256": 1.1, "EdDSA": 1.1, "HS256": 1.55})
    bare = {"RS256": 35, "ES256": 35, "EdDSA": 35, "HS256": 30}
    yield from _most("cold", "bare verification", bare, unit="µs", quiet=True)

    # The same token again.
    for store in ("with a store", "without a store"):
        again = {"RS256": 38, "ES256": 50, "EdDSA": 50, "HS256": 26}
        yield from _least("warm", "PyJWT", {f"{algorithm}, {store}": floor for algorithm, floor in again.items()})

    # What a guard adds to a request, as a share of what the peer adds.
    yield from _most("hosts", "Flask-JWT-Extended", {"Flask": 0.1})
    yield from _most("hosts", "AuthenticationMiddleware + PyJWT", {"Starlette": 0.25})
    yield from _most("hosts", "OAuth2PasswordBearer + PyJWT", {"FastAPI": 0.37})
    yield from _most("hosts", "Simple JWT", {"DRF": 0.35})
    yield from _most("hosts", "10 routes", {"Django, 1,000 routes": 1.25})

    # Requests per second, as a share of those of the application without a guard.
    shares = {"Flask": 0.88, "Django": 0.9, "DRF": 0.88, "Starlette": 0.85, "FastAPI": 0.85}
    for mix in ("many users", "few clients"):
        for measure in ("requests per second", "requests per CPU second"):
            yield from _least("servers", measure, {f"{host}, {mix}": share for host, share in shares.items()})

    # Grants and requirements.
    yield from _most("grants", "10 grants", {"100 grants": 1.5, "1,000 grants, without the digest": 1.5})
    yield from _most("grants", "", {"each further grant at first sight": 1}, unit="µs")
    yield from _most("grants", "", dict.fromkeys((*_CASES, *(f"{case}; no store" for case in _CASES)), 10), unit="µs")

    # A hundred rules.
    for engine in ("PyCasbin", "cedarpy"):
        rules = ("exact rules, hits", "exact rules, misses", "wildcards, hits", "wildcards, misses")
        yield from _least("engines", engine, dict.fromkeys(rules, 100))

    # Tokens that are refused before their signature is verified.
    for log in ("logged", "not logged"):
        yield from _most("refusals", "", dict.fromkeys((f"{kind}, {log}" for kind in _EARLY), 60), unit="µs")

    # Elevation: what it adds where it is on.
    warm = {"others hold something": 1.1, **dict.fromkeys(_HOLDER, 1.35)}
    yield from _most("elevation", "without ELEVATION", {f"seen before, {side}": limit for side, limit in warm.items()})
    yield from _most("elevation", "without ELEVATION", {"never seen, others hold something": 1.15})
    offers = {"the caller may ask": 1.5, "only others may ask": 1.15, "nobody may ask": 1.15}
    yield from _most("elevation", "without ELEVATION_URL", {f"refused, {who}": most for who, most in offers.items()})

    # The console: every page at the server, and how much memory its use adds.
    pages = (*CONSOLE_PAGES, *(f"{page}, the slowest" for page in CONSOLE_PAGES))
    yield from _most("console", "", dict.fromkeys(pages, 300), unit="ms")
    yield from _most("console", "", {"memory that pages and load add": 100}, unit="MB")

    # Imports.
    limits = {"import jwt_lp": 0.2, "from jwt_lp import Guard": 1.6}
    yield from _most("imports", "PyJWT and cryptography", limits)


def _least(
    section: str, against: str, limits: Mapping[str, float], *, unit: Unit = "times", quiet: bool = False
) -> Iterator[Floor]:
    for what, limit in limits.items():
        yield Floor(Key(section, what, against), limit, unit, quiet=quiet)


def _most(
    section: str, against: str, limits: Mapping[str, float], *, unit: Unit = "share", quiet: bool = False
) -> Iterator[Floor]:
    for what, limit in limits.items():
        yield Floor(Key(section, what, against), limit, unit, most=True, quiet=quiet)


_CASES: Final = (
    "64 patterns, the last one meets it",
    "any of 50, the last one is held",
    "all of 10",
    "100,000 grants, and a wildcard meets it",
    "1,000 roles, the last one confers it",
    "1,000 routes",
)
CONSOLE_PAGES: Final = (
    *("overview", "campaigns", "a campaign", "the list of a part", "the list, further on", "an item", "search"),
    *("a subject", "a client", "a role", "a permission", "routes", "plans", "elevations", "revocations", "audit trail"),
    "preview of 60 decisions",
)
_HOLDER: Final = ("a holder, for what the token grants", "a holder, for what is held by elevation")
_EARLY: Final = (
    "a malformed Authorization header",
    "a token of 1 MB",
    "two segments",
    "a character outside base64url",
    "base64url that is not canonical",
    "a header that is not JSON",
    "a header with a member twice",
    "alg none",
    "another algorithm",
    "an unknown kid",
    "a critical extension",
    "claims with a member twice",
    "claims nested 5,000 deep",
    "another issuer",
)

FLOORS: Final[Mapping[Key, Floor]] = {floor.key: floor for floor in _floors()}


@dataclass(frozen=True, slots=True)
class Finding:
    """A floor and what was measured."""

    floor: Floor
    figure: Figure | None
    verdict: Verdict

    @property
    def fails(self) -> bool:
        """Whether `make bench-check` fails because of it."""
        return self.floor.is_checked and self.verdict in {"missed", "not measured"}

    @property
    def is_noisy(self) -> bool:
        """Whether the spread is so wide that it could hide a miss: measure again on a machine with less other load."""
        if self.figure is None or self.verdict != "within spread":
            return False
        median, low, high = self.figure.value
        return high - low > NOISY * median


def check(results: Results, sections: Collection[str], floors: Mapping[Key, Floor] = FLOORS) -> list[Finding]:
    """Judge every floor of these sections. A floor without a figure fails too: something was not measured."""
    figures = by_key(results)
    return [
        Finding(floor, figures.get(key), floor.judge(figures.get(key)))
        for key, floor in floors.items()
        if key.section in sections
    ]
