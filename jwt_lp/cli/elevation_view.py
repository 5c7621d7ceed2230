"""How the commands `jwt-lp elevate` print elevations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jwt_lp.cli.output import DIM, brief, emit, moment, say, span, text
from jwt_lp.cli.store import print_json_list, print_line
from jwt_lp.elevation.representation import members_of
from jwt_lp.elevation.representation import moment as json_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.elevation.elevations import Elevations
    from jwt_lp.stores.elevations import Elevation, ElevationStep


def print_one(elevations: Elevations, elevation: Elevation, form: str) -> None:
    """Print one elevation as it is now."""
    if form == "json":
        emit(members_of(elevation, elevations.now()))
    else:
        say(text(elevation.id, "bold"), f": {_describe(elevation, elevations.now())}")


def print_list(found: Iterable[Elevation], now: float, form: str) -> None:
    """Print elevations, each on a line of its own, without keeping them in memory."""
    if form == "json":
        print_json_list(json.dumps(members_of(each, now)) for each in found)
        return
    total = 0
    for each in found:
        total += 1
        print_line(f"{each.id}  {moment(each.asked_at)}: {_describe(each, now)}")
    say(text(f"{total} elevation{'' if total == 1 else 's'}", DIM))


def print_elevation(elevation: Elevation, steps: Iterable[ElevationStep], now: float, form: str) -> None:
    """Print an elevation with its steps."""
    if form == "json":
        shown = [
            {
                "number": step.number,
                "action": step.action,
                "at": json_moment(step.at),
                "issuer": step.issuer,
                "subject": step.subject,
                "reason": step.reason,
            }
            for step in steps
        ]
        emit({**members_of(elevation, now), "steps": shown})
        return
    say(text(elevation.id, "bold"), f": {_describe(elevation, now)}")
    say(f"    digest: {elevation.digest}")
    for step in steps:
        by = brief(step.subject) if step.issuer else f"{brief(step.subject) or 'somebody'}, by a command"
        reason = f": {brief(step.reason)}" if step.reason else ""
        print_line(f"    {moment(step.at)}  {step.action} by {by}{reason}")


def _describe(elevation: Elevation, now: float) -> str:
    state = elevation.state(now)
    asked = f"{brief(elevation.subject)} of {brief(elevation.issuer)} asks for {elevation.permission}"
    if state == "requested":
        missing = elevation.needed - elevation.approvals
        wanted = f"{missing} approval{'' if missing == 1 else 's'} missing, lapses {moment(elevation.answer_by)}"
        reason = f": {brief(elevation.reason)}" if elevation.reason else ""
        return f"{asked} for {span(elevation.seconds)}; {wanted}{reason}"
    if state == "approved":
        how = "taken without an approval" if elevation.break_glass else "approved"
        return f"{brief(elevation.subject)} of {brief(elevation.issuer)} holds {elevation.permission} until {moment(elevation.until)}; {how}"
    return f"{asked}; {state}"
