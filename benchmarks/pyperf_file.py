"""Our costs as a file of pyperf, so that `python -m pyperf compare_to BEFORE AFTER` compares two commits."""

from __future__ import annotations

from pathlib import Path

import pyperf

from benchmarks.figures import Results, by_key


def write(path: Path, results: Results) -> None:
    """Write the cost of each round of every figure that has one, over an existing file."""
    # One measurement of ours is in a figure for each peer, and needed once.
    measured = {figure.samples: f"{key.section}: {key.what}" for key, figure in by_key(results).items()}
    benchmarks = [
        pyperf.Benchmark([pyperf.Run(samples, metadata={"name": name, "unit": "second"})])
        for samples, name in measured.items()
        # A difference of two costs may be negative, which pyperf has no place for.
        if samples and min(samples) > 0
    ]
    pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)
