"""Figures: what a benchmark found, and the file of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, cast

from benchmarks.rounds import Distribution, Rounds

Unit: TypeAlias = Literal["times", "share", "µs", "ms", "MB", "%", "per s"]

RATIOS: Final[frozenset[Unit]] = frozenset({"times", "share"})
"""The units that do not depend on how fast the machine is."""


class Key(NamedTuple):
    """What identifies a figure: its section, what was measured, and what it was compared with."""

    section: str
    what: str
    against: str = ""

    def __str__(self) -> str:
        return " / ".join(filter(None, self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    `unit` says what `value` is: "times" (how many times as fast ours is), "share" (our cost as a share of theirs), or a
    plain unit. `quiet` is the median of the quiet half of the rounds. `ours` and `theirs` are the median costs of an
    operation, in seconds; `samples` are ours of each round.
    """

    what: str
    unit: Unit
    value: Distribution
    against: str = ""
    quiet: float | None = None
    ours: float | None = None
    theirs: float | None = None
    samples: tuple[float, ...] = ()

    @classmethod
    def of_value(cls, what: str, unit: Unit, value: float, **more: Any) -> Self:
        """A figure that was measured once."""
        return cls(what=what, unit=unit, value=Distribution(value, value, value), **more)

    @classmethod
    def of_times(cls, rounds: Rounds, what: str, ours: str, theirs: str, *, against: str | None = None) -> Self:
        """How many times as fast the side `ours` is."""
        quiet = rounds.quiet_half().times(ours, theirs).median
        return cls._of_pair(rounds, what, "times", rounds.times(ours, theirs), quiet, ours, theirs, against)

    @classmethod
    def of_share(
        cls,
        rounds: Rounds,
        what: str,
        ours: str,
        theirs: str,
        *,
        against: str | None = None,
        quiet: Rounds | None = None,
    ) -> Self:
        """The cost of the side `ours` as a share of that of `theirs`.

        `quiet` is the quiet half if it cannot be told from these costs, because they are differences.
        """
        median = (quiet or rounds.quiet_half()).share(ours, theirs).median
        return cls._of_pair(rounds, what, "share", rounds.share(ours, theirs), median, ours, theirs, against)

    @classmethod
    def of_extra(cls, rounds: Rounds, what: str, ours: str, theirs: str) -> Self:
        """How many microseconds the side `ours` costs more than `theirs`."""
        quiet = rounds.quiet_half().extra(ours, theirs).median * 1e6
        value = Distribution(*(1e6 * each for each in rounds.extra(ours, theirs)))
        return cls._of_pair(rounds, what, "µs", value, quiet, ours, theirs, None)

    @classmethod
    def of_cost(cls, rounds: Rounds, what: str, side: str) -> Self:
        """What an operation of `side` costs, in microseconds."""
        return cls(
            what=what,
            unit="µs",
            value=Distribution(*(1e6 * each for each in rounds.cost(side))),
            quiet=1e6 * rounds.quiet_half().cost(side).median,
            ours=rounds.cost(side).median,
            samples=rounds.costs[side],
        )

    @classmethod
    def _of_pair(
        cls,
        rounds: Rounds,
        what: str,
        unit: Unit,
        value: Distribution,
        quiet: float,
        ours: str,
        theirs: str,
        against: str | None,
    ) -> Self:
        return cls(
            what=what,
            against=theirs if against is None else against,
            unit=unit,
            value=value,
            quiet=quiet,
            ours=rounds.cost(ours).median,
            theirs=rounds.cost(theirs).median,
            samples=rounds.costs[ours],
        )


@dataclass(frozen=True, slots=True)
class SectionResult:
    """The figures of one section, where and how they were measured, and the text of a long program."""

    figures: tuple[Figure, ...] = ()
    machine: Mapping[str, str] = field(default_factory=dict[str, str])
    rounds: int = 0
    text: str = ""

    def __iter__(self) -> Iterator[Figure]:
        return iter(self.figures)


Results: TypeAlias = Mapping[str, SectionResult]
"""The results of every section that was run, by the section's name."""


def by_key(results: Results) -> dict[Key, Figure]:
    """Every figure by its key; `ValueError` if two have the same."""
    found = [(Key(name, figure.what, figure.against), figure) for name, result in results.items() for figure in result]
    if len({key for key, _ in found}) < len(found):
        raise ValueError("two figures have the same key")
    return dict(found)


def save(path: Path, results: Results, *, samples: bool = False) -> None:
    """Write the results as JSON; with `samples` also the cost of each round."""
    rounded = {
        name: {
            **asdict(replace(result, figures=())),
            "figures": [_to_json(each, samples=samples) for each in result],
        }
        for name, result in results.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, SectionResult]:
    """Read what `save` wrote; nothing if there is no such file."""
    if not path.exists():
        return {}
    document = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    return {
        name: SectionResult(**{**result, "figures": tuple(map(_from_json, result["figures"]))})
        for name, result in document.items()
    }


def _to_json(figure: Figure, *, samples: bool) -> dict[str, object]:
    members = asdict(figure if samples else replace(figure, samples=()))
    members["value"] = figure.value._asdict()
    return {name: _rounded(value) for name, value in members.items() if value not in (None, "", ())}


def _from_json(members: dict[str, Any]) -> Figure:
    samples = tuple(members.get("samples", ()))
    return Figure(**{**members, "value": Distribution(**members["value"]), "samples": samples})


def _rounded(value: object) -> object:
    """Four digits: more would only change from run to run."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return value
