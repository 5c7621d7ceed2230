"""Decisions about findings: the words for them, and what is wrong with one."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import did_you_mean, quote_text

if TYPE_CHECKING:
    from collections.abc import Iterator

DECISIONS: Final = ("keep", "remove", "narrow", "exempt")

_DOTTED_DAY: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")


def decision_faults(decision: str, until: str, *, narrower: bool) -> Iterator[str]:
    """The faults of a decision, and of the last day of its exemption. `narrower` says that the grant can be narrowed."""
    if not decision:
        yield f"no decision: write one of {', '.join(DECISIONS)}"
    elif decision not in DECISIONS:
        choices = f": write one of {', '.join(DECISIONS)}"
        yield f"{quote_text(decision)} is not a decision{did_you_mean(decision, DECISIONS) or choices}"
    if decision == "narrow" and not narrower:
        yield "the grant cannot be narrowed: there is no narrower grant instead"
    if decision == "exempt" and not until:
        yield "an exemption needs a last day: fill in until, as in 2027-01-31"
    elif until and decision not in ("exempt", ""):
        yield "until is only for exemptions"
    elif until and read_day(until) is None:
        yield f"until: {quote_text(until)} is not a day such as 2027-01-31"


def read_day(text: str) -> str | None:
    """The ISO day in a text: 2027-01-31, or 31.01.2027 as spreadsheets write it in many countries; None for another.

    Days with slashes are refused, because 2/3/2027 is a day in February in one country, and in March in another.
    """
    match = _DOTTED_DAY.fullmatch(text)
    iso = f"{match[3]}-{match[2]:0>2}-{match[1]:0>2}" if match else text
    try:
        return iso if date.fromisoformat(iso).isoformat() == iso else None
    except ValueError:
        return None
