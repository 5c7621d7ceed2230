"""Reports of a review: text, JSON, CSV and one HTML page, all from the same value.

JSON and CSV have every finding. The page has those that a review lists, and text groups them where there are many.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from jwt_lp.review.report import tables
from jwt_lp.review.report.backtest_text import render_backtest_text
from jwt_lp.review.report.kept_findings import KeptFindings
from jwt_lp.review.report.text import By, render_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.findings import Backtest, Review

Form: TypeAlias = Literal["text", "json", "csv", "html"]

__all__ = ["By", "Form", "KeptFindings", "iter_table", "render", "render_backtest"]


def render(review: Review, form: Form, *, by: By | None = None, top: int = 50, width: int | None = None) -> str:
    """The review in one form, ending with a line end.

    `by` says how text and page group the findings. The default is by permission, for the page always and for text with
    more than 500 findings. They show the `top` groups with the most decisions. Text is folded at `width` columns.
    `ConfigurationError` for HTML where Jinja2 is not installed.
    """
    if form in ("json", "csv"):
        return "".join(iter_table(review, form))
    if form == "html":
        from jwt_lp.review.report.html import render_page

        return render_page(review, by or "permission", top)
    return render_text(review, by, top, width)


def iter_table(review: Review, form: Literal["json", "csv"], kept: KeptFindings | None = None) -> Iterator[str]:
    """The review as JSON or CSV, piece by piece.

    `kept` has the findings that the review did not list, so that every finding is in the output.
    """
    if kept is not None:
        review = replace(review, unlisted=0)
    return (tables.iter_json if form == "json" else tables.iter_csv)(review, kept or ())


def render_backtest(backtest: Backtest, form: Literal["text", "json", "csv"], *, width: int | None = None) -> str:
    """The backtest alone. JSON is a list with one object for each setting, CSV has a row for each."""
    if form == "json":
        return tables.render_backtest_json(backtest)
    if form == "csv":
        return tables.render_backtest_csv(backtest)
    return render_backtest_text(backtest, width)
