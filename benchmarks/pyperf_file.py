"""Our costs as a file of pyperf, so that `python -m pyperf compare_to BEFORE AFTER` compares two commits."""

from __future__ import annotations

from pathlib import Path

import pyperf

from benchmarks.figures import Results, by_key


def write(path: Path, results: Results) -> None:
    """Write the cost of each round of every figure that has one, over an existing file."""
    benchmarks = [
        # A difference of two costs may be negative, which pyperf has no place for.
        pyperf.Benchmark([pyperf.Run(figure.samples, metadata={"name": str(key), "unit": "second"})])
        for key, figure in by_key(results).items()
        if figure.samples and min(figure.samples) > 0
    ]
    pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)
