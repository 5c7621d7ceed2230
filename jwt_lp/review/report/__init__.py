"""Reports of a review: text, JSON, CSV and one HTML page, all from the same value.

JSON, CSV and the page have every finding; text groups them where there are many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from jwt_lp.review.report import tables
from jwt_lp.review.report.text import By, render_backtest_text, render_text

if TYPE_CHECKING:
    from jwt_lp.review.findings import Backtest, Review

Form: TypeAlias = Literal["text", "json", "csv", "html"]

__all__ = ["By", "Form", "render", "render_backtest"]


def render(review: Review, form: Form, *, by: By | None = None, top: int = 50, width: int | None = None) -> str:
    """The review in one form, ending with a line end.

    `by` says how text and page group the findings. The default is by permission, for the page always and for text with
    more than 500 findings. They show the `top` groups with the most decisions. Text is folded at `width` columns.
    `ConfigurationError` for HTML where Jinja2 is not installed.
    """
    if form == "json":
        return tables.render_json(review)
    if form == "csv":
        return tables.render_csv(review)
    if form == "html":
        from jwt_lp.review.report.html import render_page

        return render_page(review, by or "permission", top)
    return render_text(review, by, top, width)


def render_backtest(backtest: Backtest, form: Literal["text", "json", "csv"], *, width: int | None = None) -> str:
    """The backtest alone. JSON is a list with one object for each setting, CSV has a row for each."""
    if form == "json":
        return tables.render_backtest_json(backtest)
    if form == "csv":
        return tables.render_backtest_csv(backtest)
    return render_backtest_text(backtest, width)
