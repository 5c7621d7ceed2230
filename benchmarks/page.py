"""The page in the docs: its figures and charts, all of which come from one file of results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from benchmarks.charts import charts
from benchmarks.figures import Results
from benchmarks.sections import SECTIONS
from benchmarks.tables import machine_text, markdown

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
FOLDER: Final = ROOT / "docs" / "benchmarks"
RESULTS: Final = FOLDER / "results.json"

_BLOCK: Final = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def render(results: Results) -> None:
    """Write the figures into the page, and the charts beside it."""
    for path, text in rendered(results, PAGE.read_text(encoding="utf-8")).items():
        path.write_text(text, encoding="utf-8")


def rendered(results: Results, page: str) -> dict[Path, str]:
    """What `render` writes, by file. `ValueError` unless the page has one place for each section."""
    places = [found[2] for found in _BLOCK.finditer(page)]
    if sorted(places) != sorted(SECTIONS):
        raise ValueError(f"the page has places for the figures of {places}, and the sections are {list(SECTIONS)}")
    # A function, because a backslash in a replacement has a meaning of its own.
    text = _BLOCK.sub(lambda found: f"{found[1]}{_block(found[2], results)}\n{found[3]}", page)
    return {PAGE: text, **{FOLDER / f"{chart.name}.svg": chart.svg() for chart in charts(results)}}


def _block(section: str, results: Results) -> str:
    result = results.get(section)
    if result is None:
        return "Not measured yet."
    chart = next((chart for chart in charts({section: result})), None)
    picture = (
        "" if chart is None else f"![{chart.title}: the figures of the table below](benchmarks/{chart.name}.svg)\n\n"
    )
    body = f"```text\n{result.text.strip()}\n```" if result.text else markdown(section, result)
    return f"\n{picture}{body}\n\n{machine_text(result)}\n"
