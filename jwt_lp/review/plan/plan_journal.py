"""Journal of a plan: what was done, when and by whom.

It is a JSON Lines file beside the plan with mode 0600. The intent is written before any change, so that an interrupted
application can be finished or undone.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from jwt_lp._support.json_types import is_json_object
from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.revocation.entries import RevocationEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIX: Final = ".journal"

PlanState: TypeAlias = Literal["new", "noticed", "begun", "applied", "undoing", "undone"]
_STATES: Final[dict[str, PlanState]] = {
    "notice": "noticed",
    "intent": "begun",
    "done": "applied",
    "restored": "applied",
    "undoing": "undoing",
    "undone": "undone",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyIntent:
    """The intended changes: the policy file's bytes before and after (None without an edit), and the deny entries.

    `stage` is `trial`, `final`, or "" for a plan without stages; `since` is the time from which the entries deny, which
    for `final` is that of the trial.
    """

    at: float
    by: str
    plan: str
    path: str
    before: bytes | None
    after: bytes | None
    entries: tuple[RevocationEntry, ...]
    wrote: tuple[tuple[str, str], ...]
    items: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    stage: str = ""
    since: float = 0.0


class RestoredItem(NamedTuple):
    """An item whose grant somebody gave back during the trial: the time in seconds since the epoch, by whom, and why."""

    id: str
    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """The state of a plan: the last intent, the number of undone attempts, and the time and author of the last line.

    The intent's entries are those that hold after every restoration. `restored` are the items that were given back since
    the plan was last undone, oldest first. `told` are the items in its notice since then, None without a notice.
    """

    state: PlanState = "new"
    intent: ApplyIntent | None = None
    attempt: int = 0
    at: float = 0.0
    by: str = ""
    restored: tuple[RestoredItem, ...] = ()
    told: frozenset[str] | None = None


NEW_PLAN: Final = PlanStatus()


class JournalStep(NamedTuple):
    """A line of a journal for people: what was done, when and by whom, and the number of deny entries, 0 for none.

    `stage` is the stage that began, "" without stages. `item` and `reason` are those of a restoration, "" for other steps.
    """

    what: str
    at: float
    by: str
    entries: int = 0
    stage: str = ""
    item: str = ""
    reason: str = ""


def journal_path(plan: str | os.PathLike[str]) -> Path:
    """The path of a plan's journal."""
    return Path(f"{os.fspath(plan)}{SUFFIX}")


def read_status(journal: Path) -> PlanStatus:
    """The state that a journal records; `ConfigurationError` if the file is not a journal."""
    status = NEW_PLAN
    for line in _lines(journal):
        try:
            status = _advance(status, line)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ConfigurationError(
                f"{quote_text(str(journal))}: not a journal of a plan: a line is incomplete"
            ) from None
    return status


def read_steps(journal: Path) -> tuple[JournalStep, ...]:
    """The steps that a journal records, oldest first; `ConfigurationError` if the file is not a journal."""
    return tuple(
        JournalStep(
            line["what"],
            line.get("at", 0.0),
            line.get("by", ""),
            len(line.get("lifted" if line["what"] in ("restored", "undone") else "entries", ())),
            line.get("stage", ""),
            line.get("item", ""),
            line.get("reason", ""),
        )
        for line in _lines(journal)
    )


def left_out(status: PlanStatus, items: Iterable[str]) -> dict[str, str]:
    """Those of the items, by their ids, that a later stage leaves out, with the reasons."""
    told = status.told
    # INVARIANT: a plan with a notice takes back nothing that was not in it.
    found = {} if told is None else {id_: "it was not in the notice" for id_ in items if id_ not in told}
    trial = status.intent if status.state == "applied" else None
    found |= {} if trial is None else dict(trial.dropped)
    return found | {item.id: f"restored during the trial by {item.by}" for item in status.restored}


def _advance(status: PlanStatus, line: dict[str, Any]) -> PlanStatus:
    """The state after one more line."""
    state, at, by = _STATES[line["what"]], line["at"], line["by"]
    if line["what"] == "restored":
        if status.intent is None:
            raise ValueError(line["what"])
        item, left = RestoredItem(line["item"], at, by, line["reason"]), _without_item(status.intent, line)
        return PlanStatus(state, left, status.attempt, at, by, (*status.restored, item), status.told)
    intent = _intent(line) if state == "begun" else status.intent
    if state == "undone":
        return PlanStatus(state, intent, status.attempt + 1, at, by)
    told = frozenset(line["items"]) if state == "noticed" else status.told
    return PlanStatus(state, intent, status.attempt, at, by, status.restored, told)


def _without_item(intent: ApplyIntent, line: dict[str, Any]) -> ApplyIntent:
    """The intent after a restoration: entries that were lifted are gone, and those that replace them are there."""
    lifted = set(line["lifted"])
    entries = [entry for entry in intent.entries if entry.id not in lifted]
    wrote = [(item, entry) for item, entry in intent.wrote if entry not in lifted]
    return replace(
        intent,
        entries=(*entries, *map(_entry, line["entries"])),
        wrote=(*wrote, *((item, entry) for item, entry in line["wrote"])),
    )


def append_entry(
    journal: Path,
    what: Literal["notice", "intent", "done", "restored", "undoing", "undone"],
    *,
    at: float,
    by: str,
    **more: Any,
) -> None:
    """Append a line, and return only when it is on the disk."""
    line = json.dumps({"what": what, "at": at, "by": by, **more})
    try:
        # A line that was interrupted stays a line of its own.
        start = "\n" if journal.exists() and not journal.read_bytes().endswith(b"\n") else ""
        handle = os.open(journal, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(f"{start}{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"{quote_text(str(journal))} cannot be written: {error.strerror}") from None


def append_intent(journal: Path, intent: ApplyIntent) -> None:
    """Append the intent to the journal."""
    append_entry(
        journal,
        "intent",
        at=intent.at,
        by=intent.by,
        plan=intent.plan,
        path=intent.path,
        before=_encode(intent.before),
        after=_encode(intent.after),
        entries=[asdict(entry) for entry in intent.entries],
        wrote=intent.wrote,
        items=intent.items,
        dropped=intent.dropped,
        stage=intent.stage,
        since=intent.since,
    )


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    try:
        text = journal.read_text(encoding="utf-8") if journal.exists() else ""
    except (OSError, ValueError):
        raise ConfigurationError(f"{quote_text(str(journal))} cannot be read") from None
    for number, line in enumerate(text.split("\n"), 1):
        try:
            content: Any = json.loads(line) if line else None
        except (ValueError, RecursionError):
            # An incomplete line: its step was never started.
            continue
        if content is None:
            continue
        if not is_json_object(content) or content.get("what") not in tuple(_STATES):
            raise ConfigurationError(f"{quote_text(str(journal))}, line {number}: not a journal of a plan")
        yield dict(content)


def _intent(line: dict[str, Any]) -> ApplyIntent:
    return ApplyIntent(
        at=line["at"],
        by=line["by"],
        plan=line["plan"],
        path=line["path"],
        before=_decode(line["before"]),
        after=_decode(line["after"]),
        entries=tuple(_entry(entry) for entry in line["entries"]),
        wrote=tuple((item, entry) for item, entry in line["wrote"]),
        items=tuple(line["items"]),
        dropped=tuple((item, reason) for item, reason in line["dropped"]),
        # A journal of an earlier release has neither of these.
        stage=line.get("stage", ""),
        since=line.get("since", line["at"]),
    )


def _entry(content: dict[str, Any]) -> RevocationEntry:
    values: dict[str, Any] = {**content, "keep": tuple(content["keep"])}
    return RevocationEntry(**values)


def _encode(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _decode(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
