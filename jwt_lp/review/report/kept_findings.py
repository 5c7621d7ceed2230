"""Findings that are used and kept, set aside in a file while a review is made.

A large store has hundreds of thousands of them, and what JSON and CSV begin with is known only at the end.
"""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Literal

from jwt_lp.review.report.tables import finding_as_json, finding_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.findings import Finding


class KeptFindings:
    """Findings in the form of an output, in the order in which they were added.

    The file has no name, so nobody else reads it, and it is gone at the end, also of a process that is killed.
    """

    def __init__(self, form: Literal["json", "csv"]) -> None:
        self._encode = finding_as_json if form == "json" else finding_cells
        self._file = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - `close` closes it

    def add(self, finding: Finding) -> None:
        """Set a finding aside."""
        self._file.write(f"{self._encode(finding)}\n")

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        return (line.removesuffix("\n") for line in self._file)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
