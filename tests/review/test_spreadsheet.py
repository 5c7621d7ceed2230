"""Worksheets that LibreOffice opened and saved again; skipped where it is not installed."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from jwt_lp.review.plan.sheet_file import SheetFile
from jwt_lp.review.plan.worksheet import read_worksheet, write_worksheet
from prerequisites import require
from review_factory import make_finding, make_review

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("alice", "00123", "=1+1", "-5", "+49 170", "ann, lee", 'x"y', "Žofie", "@home", "3e5x", "true")


@pytest.fixture(scope="module")
def resave(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], str]:
    """`resave(text, separator)`: the CSV as LibreOffice saves it again, with that separator."""
    office = shutil.which("soffice")
    require(office is not None, "LibreOffice Calc (soffice)")
    folder = tmp_path_factory.mktemp("office")

    def resave(text: str, separator: str) -> str:
        (folder / "decide.csv").write_bytes(text.encode())
        subprocess.run(
            [
                str(office), f"-env:UserInstallation=file://{folder}/profile", "--headless", "--infilter=CSV:44,34,76",
                "--convert-to", f"csv:Text - txt - csv (StarCalc):{ord(separator)},34,76", "--outdir", str(folder / "out"),
                str(folder / "decide.csv"),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        return (folder / "out" / "decide.csv").read_bytes().decode()

    return resave


def _filled(text: str, until: str) -> str:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    output = io.StringIO()
    writer = csv.DictWriter(output, rows[0], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "decision": "exempt", "until": until, "reviewer": "Žofie, M.", "comment": "1,5; see 2"})
    return output.getvalue()


@pytest.mark.servers
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_worksheet_survives_a_spreadsheet_program(resave, separator):
    """LibreOffice reads numbers, days and formulas as it likes and saves them again; every decision is still read."""
    review = make_review(*(make_finding(name, f"orders:p{number}") for number, name in enumerate(NAMES)))
    saved = resave(_filled(write_worksheet(review.findings), "2027-01-31"), separator)
    assert saved != write_worksheet(review.findings)
    read = read_worksheet(saved, SheetFile.from_review(review))
    assert list(NAMES) == [row.item.name for row in read.decisions]
    assert {("exempt", "2027-01-31", "Žofie, M.", "1,5; see 2")} == {
        (row.decision, row.until, row.reviewer, row.comment) for row in read.decisions
    }


@pytest.mark.servers
@pytest.mark.parametrize("separator", [",", ";"])
def test_the_row_of_a_group_survives_a_spreadsheet_program(resave, separator):
    """Its decision still holds for the members, whose rows stay empty."""
    facts = {"idle": 800, "risk": "low", "likelihood": 0.001, "likelihood_bound": 0.004}
    review = make_review(*(make_finding(name, f"orders:p{number}", **facts) for number, name in enumerate(NAMES)))
    rows = list(csv.DictReader(io.StringIO(write_worksheet(review.findings), newline="")))
    assert "group" == rows[0]["of"]
    rows[0] |= {"decision": "exempt", "until": "2027-01-31", "reviewer": "mia"}
    output = io.StringIO()
    writer = csv.DictWriter(output, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    read = read_worksheet(resave(output.getvalue(), separator), SheetFile.from_review(review))
    assert list(NAMES) == [row.item.name for row in read.decisions]
    assert {("exempt", "2027-01-31", "mia", rows[0]["id"][1:])} == {
        (row.decision, row.until, row.reviewer, row.group) for row in read.decisions
    }
