"""Stages of a plan: notice, trial and final, and which of them is due."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.review.plan.plan_journal import PlanStatus

NOTICE: Final = "notice"
TRIAL: Final = "trial"
FINAL: Final = "final"
MAX_DAYS: Final = 365

_NAMES: Final = (NOTICE, TRIAL)
_STAGE: Final = re.compile(r"\s*([a-z]+)\s*=\s*([0-9]{1,4})d\s*")
_DAY_SECONDS: Final = 86400


class PlanStage(NamedTuple):
    """A stage before `final`, and how many days it lasts.

    `notice`: holders and managers are told, and a use drops the item. `trial`: the grant is denied, and can be restored
    at once. `final`, which always follows, removes grants from the policy and tells the issuer.
    """

    name: str
    days: int


def parse_stages(text: str) -> tuple[PlanStage, ...]:
    """The stages in a text such as `notice=14d,trial=30d`; `ConfigurationError` for another text."""
    stages: list[PlanStage] = []
    for part in text.split(","):
        match = _STAGE.fullmatch(part)
        if match is None:
            raise ConfigurationError(f"{quote_text(part)} is not a stage: write notice=14d,trial=30d, or one of them")
        stages.append(PlanStage(match[1], int(match[2])))
    check_stages(stages)
    return tuple(stages)


def check_stages(stages: Sequence[PlanStage]) -> None:
    """`ConfigurationError` for stages that do not exist, are repeated or out of order, or last too long or not at all."""
    names = [stage.name for stage in stages]
    if names != [name for name in _NAMES if name in names]:
        raise ConfigurationError("the stages are notice and then trial, each at most once: write notice=14d,trial=30d")
    if not all(1 <= stage.days <= MAX_DAYS for stage in stages):
        raise ConfigurationError(f"a stage lasts 1 to {MAX_DAYS} days")


def due_stage(stages: Sequence[PlanStage], status: PlanStatus, now: float) -> str:
    """The stage that applying begins now; "" for a plan without stages.

    `PolicyError` while the stage before it lasts; the message names the time of its end.
    """
    names = [*(stage.name for stage in stages), FINAL]
    if not stages:
        return ""
    current = (
        NOTICE
        if status.state == "noticed"
        else status.intent.stage
        if status.state == "applied" and status.intent
        else ""
    )
    if current not in names[:-1]:
        return names[0]
    position = names.index(current)
    end = stage_end(stages[position], status.at if status.intent is None or current == NOTICE else status.intent.at)
    if now < end:
        until = datetime.fromtimestamp(end, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        raise PolicyError(
            f"the {current} lasts until {until}: apply the plan again then, to begin {names[position + 1]}"
        )
    return names[position + 1]


def stage_end(stage: PlanStage, begun: float) -> float:
    """When a stage ends that began at `begun`, in seconds since the epoch."""
    return begun + stage.days * _DAY_SECONDS
