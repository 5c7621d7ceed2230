"""Charts of the figures as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks.figures import Key, Results, by_key
from benchmarks.floors import FLOORS

_WIDTH: Final = 760
_RIGHT: Final = 90
_ROW: Final = 20
_BAR: Final = 12
_GROUP_GAP: Final = 26
_TOP: Final = 62
_BOTTOM: Final = 16
# The width of an average character of the font, in pixels: enough room for the longest label.
_CHARACTER: Final = 6.8

_STYLE: Final = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.group { font-weight: 600; }
.note { fill: #59636e; }
.back { fill: #ffffff; }
.ours { fill: #0969da; }
.theirs { fill: #9198a1; }
.axis { stroke: #818b98; stroke-width: 1; }
.floor { stroke: #bc4c00; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .note { fill: #9198a1; }
  .back { fill: #0d1117; }
  .ours { fill: #4493f8; }
  .theirs { fill: #656c76; }
  .floor { stroke: #db6d28; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `floor` is the value that it has to reach, marked by a line."""

    label: str
    value: float
    text: str
    ours: bool = True
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars in groups."""

    name: str
    title: str
    note: str
    groups: Sequence[tuple[str, Sequence[Bar]]]

    def svg(self) -> str:
        """The chart as a document."""
        bars = [bar for _, group in self.groups for bar in group]
        longest = max(len(bar.label) for bar in bars)
        left = round(longest * _CHARACTER) + 24
        greatest = max(max(bar.value, bar.floor or 0.0) for bar in bars)
        scale = (_WIDTH - left - _RIGHT) / greatest
        height = _TOP + sum(_GROUP_GAP + _ROW * len(group) for _, group in self.groups) + _BOTTOM
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" role="img">',
                f"<style>{_STYLE}</style>",
                f'<rect class="back" width="{_WIDTH}" height="{height}" rx="6"/>',
                f'<text class="title" x="16" y="26">{escape(self.title)}</text>',
                f'<text class="note" x="16" y="46">{escape(self.note)}</text>',
                *self._rows(left, scale),
                f'<line class="axis" x1="{left}" y1="{_TOP}" x2="{left}" y2="{height - _BOTTOM}"/>',
                "</svg>",
                "",
            )
        )

    def _rows(self, left: int, scale: float) -> Iterator[str]:
        y = _TOP
        for group, bars in self.groups:
            y += _GROUP_GAP
            yield f'<text class="group" x="16" y="{y - 8}">{escape(group)}</text>'
            for bar in bars:
                length = max(bar.value * scale, 1)
                middle = y + _BAR - 2
                kind = "ours" if bar.ours else "theirs"
                yield f'<text x="{left - 8}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>'
                yield f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="{_BAR}"/>'
                # Behind the line of the floor too, which the text would hide.
                end = max(length, (bar.floor or 0.0) * scale)
                yield f'<text x="{left + end + 8:.1f}" y="{middle}">{escape(bar.text)}</text>'
                if bar.floor is not None:
                    x = left + bar.floor * scale
                    yield f'<line class="floor" x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + _BAR + 3}"/>'
                y += _ROW


def charts(results: Results) -> Iterator[Chart]:
    """Every chart whose figures are there."""
    for chart in (_cold(results), _warm(results), _hosts(results), _servers(results)):
        if chart.groups:
            yield chart


def _cold(results: Results) -> Chart:
    """What a decision about a new token costs with each library."""
    figures = {key: figure for key, figure in by_key(results).items() if key.section == "cold" and "," not in key.what}
    groups: dict[str, list[Bar]] = {}
    for key, figure in figures.items():
        bars = groups.setdefault(key.what, [])
        if not bars:
            bars.append(_micro("jwt-lp", figure.ours or 0.0, ours=True))
        bars.append(_micro(key.against, figure.theirs or 0.0, ours=False))
    note = "CPU time of a whole decision: signature, claims and permission. Shorter is better."
    return Chart("cold", "A token that was never seen", note, _items(groups))


def _warm(results: Results) -> Chart:
    bars = [
        Bar(key.what.partition(",")[0], figure.value.median, f"{figure.value.median:.1f}", floor=_floor(key))
        for key, figure in by_key(results).items()
        if key.section == "warm" and key.what.endswith(", with a store")
    ]
    note = "How many times as fast as jwt.decode and a look at the scope. Longer is better; the line is the floor."
    groups = [("with usage and revocations", bars)] if bars else []
    return Chart("warm", "The same token again", note, groups)


def _hosts(results: Results) -> Chart:
    """What a guard adds to a request, beside what the peers add."""
    groups: dict[str, list[Bar]] = {}
    for key, figure in by_key(results).items():
        if key.section == "hosts" and figure.unit == "share" and "routes" not in key.what:
            bars = groups.setdefault(key.what, [])
            if not bars:
                bars.append(_micro("jwt-lp", figure.ours or 0.0, ours=True))
            bars.append(_micro(key.against, figure.theirs or 0.0, ours=False))
    note = "CPU time that a guard adds to a request, where the token was seen before. Shorter is better."
    return Chart("hosts", "What a guard adds to a request", note, _items(groups))


def _servers(results: Results) -> Chart:
    groups: dict[str, list[Bar]] = {}
    for key, figure in by_key(results).items():
        if key.against == "requests per second":
            host, _, mix = key.what.partition(", ")
            value = figure.value.median
            groups.setdefault(host, []).append(Bar(mix, value, f"{value:.0%}", floor=_floor(key)))
    note = "Requests per second, of those that the same application serves without a guard. The line is the floor."
    return Chart("servers", "What is left of the throughput", note, _items(groups))


def _micro(label: str, seconds: float, *, ours: bool) -> Bar:
    return Bar(label, seconds, f"{seconds * 1e6:,.1f} µs", ours)


def _floor(key: Key) -> float | None:
    floor = FLOORS.get(key)
    return None if floor is None else floor.limit


def _items(groups: Mapping[str, Sequence[Bar]]) -> list[tuple[str, Sequence[Bar]]]:
    return list(groups.items())
