"""Forms about campaigns: what a new one needs, and whom a part is given to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from jwt_lp.campaigns.freezing import MAX_DAYS
from jwt_lp.console.parameters import whole_number
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan.decision_faults import read_day
from jwt_lp.review.plan.plan_stages import parse_stages
from jwt_lp.stores.audit import Actor

if TYPE_CHECKING:
    from jwt_lp.console.forms import Form
    from jwt_lp.stores.campaigns import CampaignSplit, DeadlineRule

MAX_NAME: Final = 120
MAX_TEXT: Final = 1024
# A day less than a campaign may last, because the form's day ends later than now.
_LONGEST: Final = (MAX_DAYS - 1) * 86400
SPLITS: Final = (
    ("manager", "Manager: each decides about their people"),
    ("team", "Team"),
    ("role", "Role"),
    ("issuer", "Issuer"),
)
RULES: Final = (
    ("keep", "Keep it"),
    ("proposal", "Do what the review proposes"),
    ("remove", "Remove it, unless something speaks against it"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """What somebody wrote into the form of a new campaign, and the fault of each field."""

    name: str = ""
    deadline: str = ""
    split: str = "manager"
    undecided: str = "keep"
    stages: str = ""
    reviewer_issuer: str = ""
    faults: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def deadline_time(self) -> float:
        """The end of the last day, in UTC, in seconds since the epoch."""
        return (datetime.fromisoformat(self.deadline).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()

    @property
    def split_by(self) -> CampaignSplit:
        """By what the items are split; it has no fault."""
        return cast("CampaignSplit", self.split)

    @property
    def rule(self) -> DeadlineRule:
        """The rule of the deadline; it has no fault."""
        return cast("DeadlineRule", self.undecided)


def read_new_campaign(form: Form, now: float) -> NewCampaign:
    """The form of a new campaign, with its faults."""
    day = read_day(form.get("deadline"))
    made = NewCampaign(
        name=form.get("name"),
        deadline=day or form.get("deadline"),
        split=form.get("split"),
        undecided=form.get("undecided"),
        stages=form.get("stages"),
        reviewer_issuer=form.get("reviewer_issuer"),
    )
    faults = made.faults
    if not made.name or len(made.name) > MAX_NAME:
        faults["name"] = f"Give it a name of at most {MAX_NAME} characters, such as Q4 2026."
    if day is None:
        faults["deadline"] = "Give the last day, such as 2027-01-31."
    elif day > _day_of(now + _LONGEST):
        faults["deadline"] = "This is more than a year ahead."
    elif day < _day_of(now):
        faults["deadline"] = "The last day is past."
    if made.split not in dict(SPLITS):
        faults["split"] = "Choose by what the items are split."
    if made.undecided not in dict(RULES):
        faults["undecided"] = "Choose what happens to an item that nobody decides about."
    if len(made.reviewer_issuer) > MAX_TEXT:
        faults["reviewer_issuer"] = "This is too long for an issuer."
    try:
        parse_stages(made.stages) if made.stages else ()
    except ConfigurationError as error:
        faults["stages"] = f"{error}"
    return made


def read_reviewer(form: Form) -> Actor | None:
    """Whom a form names; None where it names nobody, and `ValueError` where half of it is missing."""
    issuer, subject = form.get("issuer"), form.get("subject")
    if not issuer and not subject:
        return None
    if not issuer or not subject:
        raise ValueError("a reviewer has an issuer and a subject: give both")
    if len(issuer) > MAX_TEXT or len(subject) > MAX_TEXT:
        raise ValueError("the issuer or the subject is too long")
    return Actor(issuer=issuer, subject=subject)


def read_version(form: Form) -> int:
    """The version of a part that a form showed; -1, which no part has, for anything else."""
    number = whole_number(form.get("version"), digits=9)
    return -1 if number is None else number


def _day_of(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).date().isoformat()
