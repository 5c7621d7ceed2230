"""What the page of a plan shows: what the plan would change now, and what has become of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.exceptions import HTTPException

from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.review.plan import OverCap, check_preview, handoffs_of, in_trial, preview, read_bytes
from jwt_lp.review.plan.plan_stages import due_stage
from jwt_lp.review.report.wording import shorten
from jwt_lp.revocation.wanted import describe_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from jwt_lp.console.plan_folder import StoredPlan
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.review.plan import Handoff, Plan, PlanPreview
    from jwt_lp.review.plan.frozen_plan import PlanItem

MAX_SHOWN: Final = 50
"""The most rows of each section of a page."""

MAX_AT_ONCE: Final = 1000
"""The most items of a plan whose changes are shown without being asked for, because they take seconds for more."""

STATES: Final = {
    "new": "not applied",
    "noticed": "notice given",
    "begun": "interrupted",
    "applied": "applied",
    "undoing": "undone in part",
    "undone": "undone",
}
STEPS: Final = {
    "notice": "notice given",
    "intent": "applying",
    "done": "applied",
    "restored": "one item restored",
    "undoing": "undoing",
    "undone": "undone",
}
TITLES: Final = {
    "": "Apply the plan",
    "notice": "Give the notice",
    "trial": "Begin the trial",
    "final": "Remove them for good",
}
BUTTONS: Final = {
    "": "Apply it",
    "notice": "Tell the holders and managers",
    "trial": "Begin the trial",
    "final": "Remove them from the policy",
}

_WAIT: Final = 20.0
_ONE_AT_A_TIME: Final = Lock()


class Limits(NamedTuple):
    """The limits of a preview and of applying: another cap, and whether the last holders of a grant lose it too."""

    cap: int | None = None
    even_last_holder: bool = False


class Section(NamedTuple):
    """The first rows of a section, and how many rows it has."""

    rows: Sequence[Any] = ()
    total: int = 0

    @property
    def more(self) -> int:
        """How many rows are not shown."""
        return self.total - len(self.rows)


_NOTHING: Final = Section()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a plan would change now, cut to what a page shows; `fault` says why it cannot be applied.

    With `over_cap` a cap of `touches` would let it be applied; with `waits` the stage before lasts.
    """

    fault: str = ""
    policy: Section = _NOTHING
    entries: Section = _NOTHING
    handoffs: Section = _NOTHING
    dropped: Section = _NOTHING
    notes: tuple[str, ...] = ()
    items: int = 0
    touches: int = 0
    cap: int = 0
    stage: str = ""
    over_cap: bool = False
    waits: bool = False


def policy_file(console: ConsoleState, plan: Plan) -> Path | None:
    """The policy file that a plan edits: the console's, or else the one that was reviewed, if it is there."""
    if console.policy_file is not None:
        return console.policy_file
    reviewed = Path(plan.origin.path) if plan.origin.path else None
    return reviewed if reviewed is not None and reviewed.exists() else None


def state_mark(stored: StoredPlan) -> str:
    """A text that changes when the plan, or what was done with it, changes: a form carries it."""
    status = stored.status
    seen = f"{stored.hash} {status.state} {status.attempt} {status.at!r} {len(status.restored)}"
    return sha256(seen.encode()).hexdigest()[:32]


def difference(console: ConsoleState, stored: StoredPlan, limits: Limits) -> Difference:
    """What the plan would change now; it reads the store, and takes seconds for a large plan."""
    try:
        due_stage(stored.plan.stages, stored.status, console.clock())
    except PolicyError as error:
        return Difference(fault=str(error), waits=True)
    try:
        found = current_preview(console, stored, limits)
        check_preview(found)
    except OverCap as error:
        fault = f"{error.touches:,} grants would be revoked, but the limit is {error.cap:,}."
        return Difference(fault=fault, touches=error.touches, over_cap=True)
    except (PolicyError, ConfigurationError) as error:
        return Difference(fault=message_of(console, error))
    return Difference(
        policy=cut(found.policy),
        entries=cut(found.entries, lambda entry: describe_entry(entry, shorten)),
        handoffs=cut(found.handoffs),
        dropped=cut(found.dropped),
        notes=found.notes[:MAX_SHOWN],
        items=len(found.items),
        touches=found.touches,
        cap=found.cap,
        stage=found.stage,
    )


def message_of(console: ConsoleState, error: Exception) -> str:
    """What an error says, without the folder of the plans and of the policy file: that is nobody's business."""
    text = str(error)
    for path in (console.plans, console.policy_file and console.policy_file.absolute().parent):
        text = text.replace(f"{path}/", "") if path is not None else text
    return text


def current_preview(console: ConsoleState, stored: StoredPlan, limits: Limits) -> PlanPreview:
    """The preview of the plan, as `jwt-lp apply` shows it; raises what it does."""
    path = policy_file(console, stored.plan)
    with one_at_a_time():
        return preview(
            stored.plan,
            console.store,
            None if path is None else read_bytes(path).decode("utf-8", "replace"),
            now=console.clock(),
            status=stored.status,
            name="" if path is None else path.name,
            **limits._asdict(),
        )


def current_handoffs(console: ConsoleState, stored: StoredPlan) -> Iterator[Handoff]:
    """What the issuers must revoke too: of what was applied, otherwise of what would be applied now."""
    intent = stored.status.intent
    if stored.status.state == "applied" and intent is not None and not in_trial(stored.status):
        done = set(intent.items)
        return handoffs_of(item for item in stored.plan.items if item.id in done)
    return iter(current_preview(console, stored, Limits()).handoffs)


def trial_items(stored: StoredPlan) -> Iterator[PlanItem]:
    """The items that a trial revokes, without those that were restored; none outside a trial."""
    intent = stored.status.intent
    if intent is None or not in_trial(stored.status):
        return
    going = {*intent.items} - {restored.id for restored in stored.status.restored}
    yield from (item for item in stored.plan.items if item.id in going)


def cut(rows: Iterable[Any], show: Callable[[Any], Any] = lambda row: row) -> Section:
    """The first rows as a page shows them, with the number of all."""
    listed = list(rows)
    return Section([show(row) for row in islice(listed, MAX_SHOWN)], len(listed))


@contextmanager
def one_at_a_time() -> Generator[None]:
    """Hold the only place for what takes seconds, so that few people who ask at once cannot stop the others.

    An answer with 503 if somebody else has it for long.
    """
    if not _ONE_AT_A_TIME.acquire(timeout=_WAIT):
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "Another plan is being computed. Try again in a minute.")
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()
