"""Answers of the console: pages from templates, and redirects after a form."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse

from jwt_lp.console.addresses import page_of, root_of, sign_in_target, url_of
from jwt_lp.console.navigation import navigation
from jwt_lp.console.session import csrf_token_of
from jwt_lp.console.state import console_of, shown_name
from jwt_lp.console.static_files import static_version
from jwt_lp.review.quantities import count_noun, format_percent
from jwt_lp.review.report import wording
from jwt_lp_starlette import can

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2.runtime import Context
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["page", "see_other", "url_of"]

MAX_NOTICE: Final = 300


def page(request: Request, template: str, context: Mapping[str, object], status: int = HTTPStatus.OK) -> HTMLResponse:
    """The page that `template` makes of `context`; every value is escaped, markup and unprintable characters too.

    A template also has `console` (the state), `request`, `name` (who is signed in, ""), `csrf_token`, `notice`,
    `navigation`, and the functions `url_for(route, **parameters)`, `static(file)`, `can(permission)` and
    `part_label(name, split)`, what people call a part of a campaign.
    """
    text = (
        _environment()
        .get_template(template)
        .render(
            {
                "console": console_of(request),
                "request": request,
                "name": shown_name(request),
                "csrf_token": csrf_token_of(request),
                "notice": _notice(request),
                "navigation": navigation(request),
                "here": page_of(request.scope),
                "sign_in_link": _sign_in_link(request),
                "status": int(status),
                **context,
            }
        )
    )
    return HTMLResponse(text, status)


def _sign_in_link(request: Request) -> str:
    url = console_of(request).sign_in_url
    # A form cannot be opened by a link, so after signing in again one begins at the first page.
    shown = page_of(request.scope) if request.method in ("GET", "HEAD") else f"{root_of(request.scope)}/"
    return sign_in_target(url, shown) if url else ""


def see_other(request: Request, route: str, *, notice: str = "", **parameters: object) -> Response:
    """The redirect to a route after a form was accepted (303); the next page shows `notice` once.

    Parameters that the route's path does not have go into the query.
    """
    if notice:
        notice = notice[:MAX_NOTICE]
        parameters |= {"notice": notice, "mark": _mark(request, notice)}
    return RedirectResponse(url_of(request, route, **parameters), HTTPStatus.SEE_OTHER)


def _notice(request: Request) -> str:
    """The notice of the redirect that led here; "" for any other text, so that no link puts words into a page."""
    notice, mark = request.query_params.get("notice", ""), request.query_params.get("mark", "")
    return notice if notice and hmac.compare_digest(mark.encode(), _mark(request, notice).encode()) else ""


def _mark(request: Request, notice: str) -> str:
    return hmac.digest(csrf_token_of(request).encode(), b"notice " + notice.encode(), "sha256").hex()[:32]


@cache
def _environment() -> Environment:
    def finalize(value: Any) -> Any:
        # INVARIANT: every expression of a template passes through here and is escaped afterwards; only the markup of
        # templates and macros is not.
        return value if hasattr(value, "__html__") else wording.escape_unprintable(value)

    environment = Environment(
        loader=PackageLoader("jwt_lp.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Callable[..., str]] = {
        "n": "{:,}".format,
        "count": count_noun,
        "percent": format_percent,
        "moment": _moment,
        "duration": _duration,
        "shorten": wording.shorten,
        "exact": _exact,
    }
    functions: dict[str, Any] = {"url_for": _url_for, "can": _can, "static": _static, "part_label": _part_label}
    environment.filters.update(filters)
    environment.globals.update(functions)
    return environment


def _moment(seconds: float) -> str:
    """A time as people read it, in UTC to the minute."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    """A length of time in the largest unit that gives a whole number."""
    units = (("day", 86400), ("hour", 3600), ("minute", 60))
    unit, size = next((each for each in units if seconds and not seconds % each[1]), ("second", 1))
    return count_noun(int(seconds / size), unit)


def _exact(value: str) -> Markup:
    """The value of a form's field as somebody typed it, with its line ends; markup is escaped."""
    # A browser changes a bare line end of an attribute's value only where it is written as it is.
    return Markup(str(escape(value)).replace("\r", "&#13;").replace("\n", "&#10;"))  # noqa: S704 - escaped before


@pass_context
def _url_for(context: Context, route: str, /, **parameters: object) -> str:
    return url_of(context["request"], route, **parameters)


@pass_context
def _can(context: Context, permission: str) -> bool:
    return can(context["request"], permission)


@pass_context
def _static(context: Context, name: str) -> str:
    return url_of(context["request"], "static", file=name, v=static_version(name))


@pass_context
def _part_label(context: Context, name: str, split: str) -> str:
    """The name of the manager whose part it is, where the list of people has it; else the part's own."""
    person = context["console"].people.get(name) if split == "manager" else None
    return (person.name if person is not None else "") or name or "nobody in charge"
