"""How is a review shown?

As text, JSON, CSV or one page of HTML, all from the same value. JSON, CSV and the page hold the same findings, every
one; text groups them where there are many.
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
    """The review in one form, with a line end last.

    `by` says how text and page gather the findings; without it the page does by permission, and the text from 501
    findings on. They show the `top` groups that have most to decide. Text is folded at `width` columns. Raises
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
    """The trade-off alone. JSON is a list with one object for each setting, CSV has a row for each."""
    if form == "json":
        return tables.render_backtest_json(backtest)
    if form == "csv":
        return tables.render_backtest_csv(backtest)
    return render_backtest_text(backtest, width)
