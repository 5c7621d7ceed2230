"""Parameter types for durations, days, claims and budgets."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.errors import ConfigurationError
from jwt_lp.review.analysis.regret_budget import RegretBudget

if TYPE_CHECKING:
    # Generic from click 8.4 on only.
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType

_DURATION: Final = re.compile(r"([0-9]{1,6})([smh])")
_DAYS: Final = re.compile(r"([0-9]{1,4})d")
_DAY_SECONDS: Final = 86400
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600}


class DurationParam(ParamType):
    """A length of time, in seconds."""

    name = "lifetime"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse 90s, 15m or 1h; zero is refused."""
        match = _DURATION.fullmatch(str(value))
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        return seconds or self.fail("write a number with s, m or h, such as 90s, 15m or 1h", param, ctx)


class ClaimParam(ParamType):
    """A claim's name and value. `reserved` maps each claim that another option sets to that option."""

    name = "claim"

    def __init__(self, reserved: Mapping[str, str]) -> None:
        self._reserved = reserved

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, object]:
        """Parse `name=text` or `name:=JSON`."""
        name, equals, text = str(value).partition("=")
        as_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            self.fail('write name=text, or name:=JSON such as org:={"id":"acme"}', param, ctx)
        if name in self._reserved:
            self.fail(f"{name} is set by {self._reserved[name]}", param, ctx)
        if not as_json:
            return name, text
        try:
            return name, json.loads(text)
        except (ValueError, RecursionError):
            self.fail(f"the value of {name}:= is not JSON; for text write {name}=", param, ctx)


class BudgetParam(ParamType):
    """A regret budget."""

    name = "budget"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> RegretBudget:
        """Parse `3 people this quarter`."""
        try:
            return RegretBudget.parse(str(value))
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class DeadlineParam(ParamType):
    """A deadline, in seconds since the epoch."""

    name = "deadline"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse 2026-12-15, to the end of that day in UTC, or 14d, so many days from now."""
        text = str(value)
        if isinstance(value, float):
            return value
        if match := _DAYS.fullmatch(text):
            return time.time() + int(match[1]) * _DAY_SECONDS
        try:
            day = datetime.fromisoformat(text).replace(tzinfo=UTC) if len(text) == len("2026-12-15") else None
        except ValueError:
            day = None
        if day is None:
            self.fail("write a day such as 2026-12-15, or a number of days such as 14d", param, ctx)
        return (day + timedelta(days=1)).timestamp()


class DayParam(ParamType):
    """An ISO day."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Parse a day written as 2026-01-31; no other form is accepted."""
        text = str(value)
        try:
            if len(text) == len("2026-01-31"):
                return date.fromisoformat(text).isoformat()
        except ValueError:
            pass
        return self.fail("write a day such as 2026-01-31", param, ctx)
