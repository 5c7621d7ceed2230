"""The sections of the benchmarks: each measures one topic, in a process of its own."""

from __future__ import annotations

from typing import Final, NamedTuple


class Section(NamedTuple):
    """A section: its module here, its title, whether `make bench` runs it, and whether it takes minutes.

    A long section is a module here, or the programs that `long` lists.
    """

    name: str
    title: str
    quick: bool = False
    long: bool = False


ALL: Final = (
    Section("cold", "A token that was never seen", quick=True),
    Section("warm", "The same token again", quick=True),
    Section("hosts", "What a guard adds to a request", quick=True),
    Section("servers", "Requests per second"),
    Section("grants", "Grants and requirements", quick=True),
    Section("engines", "A hundred rules", quick=True),
    Section("refusals", "Refused tokens", quick=True),
    Section("elevation", "Elevation", quick=True),
    Section("live_tokens", "A hundred thousand live tokens"),
    Section("imports", "Imports", quick=True),
    Section("issuing", "Issuing tokens"),
    Section("console", "The console", long=True),
    Section("revocations", "A million revocations", long=True),
    Section("flush", "A flush with sums", long=True),
    Section("review", "The review", long=True),
    Section("parquet", "A review over files", long=True),
)

SECTIONS: Final = {section.name: section for section in ALL}
