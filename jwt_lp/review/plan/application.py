"""How is a plan applied safely, and undone in one step?

In this order: the journal's intent, the entries in one transaction, the policy file by one rename, the journal's end.
Wherever that breaks off, applying again finishes the same thing and writes nothing twice, and undoing reverts what
there is of it. Of all that apply and undo with one store, one policy file or one plan, one does so at a time.
"""

from __future__ import annotations

import difflib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp._support.validation import quote_text
from jwt_lp.errors import PolicyError
from jwt_lp.review.plan.plan_journal import (
    ApplyIntent,
    PlanStatus,
    append_entry,
    append_intent,
    journal_path,
    read_status,
)
from jwt_lp.review.plan.policy_editor import read_bytes, write_atomically
from jwt_lp.review.plan.preview import PlanPreview, preview

if TYPE_CHECKING:
    from collections.abc import Generator

    from jwt_lp.review.plan.frozen_plan import Plan
    from jwt_lp.stores import Store

__all__ = ["ApplyResult", "PolicyFileChanged", "UndoResult", "apply", "journal_path", "prepare_undo", "preview", "undo"]

WAIT: Final = 10.0
"""Seconds for which whoever applies or undoes a plan waits for another one who does."""


class PolicyFileChanged(PolicyError):
    """The policy file is not what applying left; `lines` are what undoing would change in it, as a unified diff."""

    def __init__(self, message: str, lines: tuple[str, ...]) -> None:
        super().__init__(message)
        self.lines: tuple[str, ...] = lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What was done: how many entries were written now, the store's sequence, and whether the policy was edited.

    `resumed` says that it was the rest of what was begun before, `difference` (None then) what it was.
    """

    entries: int
    sequence: int
    policy: bool
    resumed: bool
    difference: PlanPreview | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoResult:
    """What was undone: the entries that were lifted, the store's sequence, the policy's path where it was restored.

    `gone` are entries that were not standing any more: somebody lifted them before.
    """

    lifted: tuple[str, ...]
    gone: tuple[str, ...]
    sequence: int
    path: str


def apply(
    plan: Plan,
    store: Store,
    policy_path: str | os.PathLike[str] | None,
    *,
    journal: Path,
    now: float,
    by: str,
    cap: int | None = None,
    even_last_holder: bool = False,
) -> ApplyResult:
    """Do what the plan says, but for what `preview` drops; the journal says what was done.

    `cap` is the most grants that may go in place of the plan's own. `PolicyError` where the policy has moved, where
    more would go, for a plan that was applied already, and where another process still applies or undoes one after
    `WAIT` seconds; nothing is changed then.
    """
    with _alone(store, journal):
        before = _check_status(plan, journal)
        intent, found = before.intent if before.state == "begun" else None, None
        with _kept(_edited(plan, policy_path, intent)):
            if intent is None:
                data = None if policy_path is None else read_bytes(policy_path)
                found = preview(
                    plan,
                    store,
                    None if data is None else _text(data),
                    now=now,
                    cap=cap,
                    even_last_holder=even_last_holder,
                    attempt=before.attempt,
                    name="" if policy_path is None else os.fspath(policy_path),
                )
                check_preview(found)
                intent = ApplyIntent(
                    at=now,
                    by=by,
                    plan=plan.hash,
                    path="" if policy_path is None else str(Path(policy_path).absolute()),
                    before=None if found.after is None else data,
                    after=None if found.after is None else found.after.encode(),
                    entries=found.entries,
                    wrote=found.wrote,
                    items=tuple(item.id for item in found.items),
                    dropped=tuple((each.item.id, each.reason) for each in found.dropped),
                )
                append_intent(journal, intent)
            return _write_rest(intent, store, journal, now=now, by=by, difference=found)


@contextmanager
def _alone(store: Store, journal: Path) -> Generator[None]:
    """Keep out whoever else applies or undoes with this store, or this plan with another."""
    with store.exclusive("what plans revoke", wait=WAIT), hold_lock(lock_path(journal), os.fspath(journal), wait=WAIT):
        yield


@contextmanager
def _kept(policy_path: str | os.PathLike[str] | None) -> Generator[None]:
    """Keep out whoever else edits the policy file, by whichever store."""
    if policy_path is None:
        yield
        return
    with hold_lock(lock_path(policy_path), os.fspath(policy_path), wait=WAIT):
        yield


def _edited(
    plan: Plan, policy_path: str | os.PathLike[str] | None, begun: ApplyIntent | None
) -> str | os.PathLike[str] | None:
    """The policy file, where it is edited; one that is only read may be where nobody can write."""
    if begun is not None:
        return begun.path if begun.after is not None else None
    return policy_path if any(item.revokes and item.of == "role" for item in plan.items) else None


def _check_status(plan: Plan, journal: Path) -> PlanStatus:
    """What was done with the plan before; `PolicyError` where nothing more may be."""
    found = read_status(journal)
    if found.intent is not None and found.intent.plan != plan.hash:
        raise PolicyError(f"{quote_text(str(journal))} belongs to another plan: was this one written over it?")
    if found.state in ("applied", "undoing"):
        raise PolicyError(f"the plan was {'applied' if found.state == 'applied' else 'half undone'} already: undo it")
    return found


def check_preview(found: PlanPreview) -> None:
    """`PolicyError` where there is nothing to do, or more would go than may."""
    if not found.items:
        raise PolicyError("no item of the plan is left to apply")
    if found.touches > found.cap:
        raise PolicyError(
            f"{found.touches} grants would be revoked, and at most {found.cap} may be at once: apply less, or pass --cap "
            f"{found.touches}"
        )


def undo(journal: Path, store: Store, *, now: float, by: str, policy: bool = True) -> UndoResult:
    """Lift what was written, and put the policy's bytes back.

    Without `policy` the file stays as it is. `PolicyError` where there is nothing to undo, and where another process
    still applies or undoes a plan after `WAIT` seconds, `Moved` where the file is no more what applying left; nothing
    is changed then.
    """
    with _alone(store, journal):
        intent = prepare_undo(journal, policy=False)
        with _kept(intent.path if policy and intent.before is not None else None):
            return _undo(prepare_undo(journal, policy=policy), store, journal, now=now, by=by, policy=policy)


def _undo(intent: ApplyIntent, store: Store, journal: Path, *, now: float, by: str, policy: bool) -> UndoResult:
    standing = {each.entry.id for each in store.revocations()}
    ours = [entry.id for entry in intent.entries]
    append_entry(journal, "undoing", at=now, by=by)
    restored = ""
    if policy and intent.before is not None and read_bytes(intent.path) != intent.before:
        write_atomically(intent.path, intent.before, policy=True, still=lambda: _unmoved(intent, undoing=True))
        restored = intent.path
    lifted = tuple(each for each in ours if each in standing)
    sequence = store.lift(lifted, at=now)
    gone = tuple(each for each in ours if each not in standing)
    append_entry(journal, "undone", at=now, by=by, sequence=sequence, lifted=lifted, gone=gone)
    return UndoResult(lifted=lifted, gone=gone, sequence=sequence, path=restored)


def prepare_undo(journal: Path, *, policy: bool = True) -> ApplyIntent:
    """What undoing would revert, with the errors of `undo`; nothing is changed."""
    found: PlanStatus = read_status(journal)
    intent = found.intent
    if intent is None or found.state == "undone":
        raise PolicyError(f"{quote_text(str(journal))}: no applied plan is left to undo")
    if policy:
        _unmoved(intent, undoing=True)
    return intent


def _unmoved(intent: ApplyIntent, *, undoing: bool) -> bytes | None:
    """What the policy file holds, None where the intent leaves it alone; `Moved` where somebody else changed it."""
    if intent.before is None or intent.after is None:
        return None
    data = read_bytes(intent.path)
    # INVARIANT: what somebody else wrote since is never written over.
    if data in (intent.before, intent.after):
        return data
    if undoing:
        raise PolicyFileChanged(
            f"{quote_text(intent.path)} was changed after the plan was applied: revert by hand what is shown below, and "
            "lift the entries with --leave-policy",
            _reverse_diff(intent.after, intent.before, intent.path),
        )
    raise PolicyFileChanged(
        f"{quote_text(intent.path)} was changed while the plan was applied: undo the plan",
        _reverse_diff(intent.before, intent.after, intent.path),
    )


def _write_rest(
    intent: ApplyIntent, store: Store, journal: Path, *, now: float, by: str, difference: PlanPreview | None
) -> ApplyResult:
    """Write what is not written yet."""
    data = _unmoved(intent, undoing=False)
    known = {each.entry.id for each in store.revocations(lifted=True)}
    entries = [entry for entry in intent.entries if entry.id not in known]
    sequence = store.revoke(entries, at=now, by=by)
    edits = intent.after is not None and data != intent.after
    if intent.after is not None and edits:
        write_atomically(intent.path, intent.after, policy=True, still=lambda: _unmoved(intent, undoing=False))
    append_entry(journal, "done", at=now, by=by, sequence=sequence)
    return ApplyResult(
        entries=len(entries),
        sequence=sequence,
        policy=edits,
        resumed=difference is None,
        difference=difference,
    )


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise PolicyError("the policy file is not UTF-8") from None


def _reverse_diff(old: bytes, new: bytes, name: str) -> tuple[str, ...]:
    before, after = (each.decode("utf-8", "replace").splitlines() for each in (old, new))
    return tuple(difflib.unified_diff(before, after, name, name, lineterm=""))
