"""Files that `jwt-lp review` writes: the page, the plan and the worksheets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwt_lp.cli.file_names import name_parts
from jwt_lp.cli.output import OK, say, text
from jwt_lp.cli.plan import require_unapplied
from jwt_lp.review.plan.frozen_plan import from_review
from jwt_lp.review.plan.policy_editor import write_atomically
from jwt_lp.review.plan.review_items import undecided_findings
from jwt_lp.review.plan.sheet_file import SheetFile, sheet_path
from jwt_lp.review.plan.worksheet import split_findings, write_worksheet
from jwt_lp.review.report import render
from jwt_lp.review.report.elevations import write_elevation_sheet

if TYPE_CHECKING:
    from jwt_lp.review import Review
    from jwt_lp.review.plan.plan_stages import PlanStage


def write_outputs(result: Review, options: dict[str, Any], stages: tuple[PlanStage, ...]) -> None:
    """Write the files that were asked for, and name each on standard error."""
    if options["html"]:
        _write_file(options["html"], render(result, "html", by=options["by"], top=options["top"]), "the page")
    if options["plan"]:
        require_unapplied(options["plan"])
        _write_file(
            options["plan"],
            from_review(result, now=result.made_at, stages=stages).encode(),
            "the plan of what the rule decides",
        )
    if options["worksheet"]:
        _write_worksheets(result, Path(options["worksheet"]), options["split_by"])


def _write_worksheets(result: Review, file: Path, split_by: str | None) -> None:
    """Write the worksheets, and beside them the sheet file."""
    parts = {file: ("the worksheet", result.findings)}
    if split_by:
        # Who has nothing to decide gets no worksheet.
        groups = split_findings(undecided_findings(result.findings), split_by)
        parts = {
            file.with_name(f"{file.stem}-{part}{file.suffix or '.csv'}"): (
                f"the worksheet of {group or 'nobody'}",
                groups[group],
            )
            for group, part in name_parts(sorted(groups))
        }
    sheet = SheetFile.from_review(result, [findings for _, findings in parts.values()])
    _write_file(str(sheet_path(file)), sheet.encode(), "the sheet file, which jwt-lp plan needs too")
    if result.elevated:
        _write_file(
            str(file.with_suffix(f".elevated{file.suffix}")),
            write_elevation_sheet(result.elevated),
            "what was used by elevations, to be read beside the worksheet",
        )
    for path, (what, findings) in parts.items():
        _write_file(str(path), write_worksheet(findings), what)


def _write_file(file: str, content: str, what: str) -> None:
    # The content names people and their permissions, so only the owner may read it.
    write_atomically(file, content.encode(), mode=0o600)
    say(text(f"{what}: {file}", OK), err=True)
