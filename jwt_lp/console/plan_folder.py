"""Plan folder: the plan files of a console and their journals, which `jwt-lp apply`, `undo` and `verify` read too."""

from __future__ import annotations

import re
import stat
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.review.plan import Plan, journal_path, read_status, write_atomically
from jwt_lp.review.plan.plan_journal import NEW_PLAN, read_steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jwt_lp.review.plan.plan_journal import JournalStep, PlanStatus

SUFFIX: Final = ".plan"
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_LISTED: Final = 200
"""The most plans that are listed."""

MAX_READ: Final = 8 * 1024 * 1024
"""The most bytes that one look at the list reads; larger plans are listed once they were opened."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEPT: Final = 4


class Signature(NamedTuple):
    """What shows that a file was written again: its inode, size and times."""

    inode: int
    size: int
    written: int
    changed: int


Signatures: TypeAlias = "tuple[Signature, Signature | None]"
"""Those of a plan's file, and of its journal, if there is one."""


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as its file has it, with its hash, and its state by its journal."""

    id: str
    path: Path
    plan: Plan
    hash: str
    status: PlanStatus
    steps: tuple[JournalStep, ...] = ()

    @property
    def journal(self) -> Path:
        """The path of the journal."""
        return journal_path(self.path)

    @property
    def is_strange(self) -> bool:
        """Whether the journal is that of another plan."""
        return self.status.intent is not None and self.status.intent.plan != self.hash

    @property
    def revoking(self) -> int:
        """How many items revoke something."""
        return sum(item.revokes for item in self.plan.items)


class ListedPlan(NamedTuple):
    """A plan in a list: what its file and its journal say of it, or the fault for which it cannot be read.

    A `state` of "" means that it was not read yet, because it is large.
    """

    id: str
    written: float
    made_at: float = 0.0
    items: int = 0
    revoking: int = 0
    state: str = "new"
    stage: str = ""
    at: float = 0.0
    by: str = ""
    fault: str = ""


def is_plan_id(text: str) -> bool:
    """Whether a plan may have this id; any other text names none."""
    return _ID.fullmatch(text) is not None


class PlanFolder:
    """The plans of a folder. The id of a plan is its file's name without `.plan`; a closed campaign's plan has its id.

    What was read is kept while the files are the same, so that a large plan is shown quickly.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._lock: Final = Lock()
        self._listed: Final = OrderedDict[str, tuple[Signatures, ListedPlan]]()
        self._read: Final = OrderedDict[str, tuple[Signatures, StoredPlan]]()

    def path(self, plan_id: str) -> Path:
        """The path of a plan's file; `ConfigurationError` for a text that is the id of none."""
        # INVARIANT: an id names a file of this folder, so it has no separator and begins with no dot.
        if not is_plan_id(plan_id):
            raise ConfigurationError(f"{quote_text(plan_id)} is not the id of a plan")
        return self._folder / f"{plan_id}{SUFFIX}"

    def list(self) -> tuple[ListedPlan, ...]:
        """The plans, those written last first, at most `MAX_LISTED`."""
        found = sorted(self._files(), key=lambda pair: (-pair[1].written, pair[0]))
        left, listed = MAX_READ, list[ListedPlan]()
        for plan_id, signature in found[:MAX_LISTED]:
            signatures = signature, _signature(journal_path(self.path(plan_id)))
            size = sum(each.size for each in signatures if each is not None)
            if not (self._is_known(plan_id, signatures) or size <= left):
                listed.append(ListedPlan(plan_id, signature.written / 1e9, state=""))
                continue
            left -= 0 if self._is_known(plan_id, signatures) else size
            listed.append(self._list_one(plan_id, signatures))
        return tuple(listed)

    def find(self, plan_id: str, *, fresh: bool = False) -> StoredPlan | None:
        """The plan with this id, None if there is none; with `fresh` the files are read, whatever was read before.

        `ConfigurationError` for a file that is not a plan, or was changed, and for a journal that is not one.
        """
        path = self.path(plan_id)
        signature = _signature(path)
        if signature is None:
            return None
        signatures = signature, _signature(journal_path(path))
        kept = self._read.get(plan_id)
        if kept is not None and kept[0] == signatures and not fresh:
            return kept[1]
        plan = (
            kept[1].plan if kept is not None and kept[0][0] == signature and not fresh else _read_plan(path, signature)
        )
        hash_ = kept[1].hash if kept is not None and kept[1].plan is plan else plan.hash
        stored = StoredPlan(plan_id, path, plan, hash_, read_status(journal_path(path)), read_steps(journal_path(path)))
        self._keep(self._read, plan_id, (signatures, stored), _KEPT)
        return stored

    def add(self, plan_id: str, plan: Plan) -> None:
        """Write the file of a plan, unless it has the same plan already; `PolicyError` if it has another one."""
        path = self.path(plan_id)
        existing = self.find(plan_id, fresh=True)
        if existing is None:
            if journal_path(path).exists():
                raise PolicyError(f"{quote_text(plan_id)}: there is a journal without its plan: put the plan file back")
            write_atomically(path, plan.encode().encode(), mode=0o600)
        elif existing.hash != plan.hash:
            raise PolicyError(f"{quote_text(plan_id)}: the folder has another plan of this name")

    def _files(self) -> Iterator[tuple[str, Signature]]:
        try:
            for path in self._folder.iterdir():
                plan_id = path.name.removesuffix(SUFFIX)
                if plan_id != path.name and is_plan_id(plan_id) and (signature := _signature(path)) is not None:
                    yield plan_id, signature
        except OSError as error:
            raise ConfigurationError(f"the folder of plans cannot be read: {error.strerror}") from None

    def _is_known(self, plan_id: str, signatures: Signatures) -> bool:
        """Whether these very files were read before."""
        return any(plan_id in kept and kept[plan_id][0] == signatures for kept in (self._listed, self._read))

    def _list_one(self, plan_id: str, signatures: Signatures) -> ListedPlan:
        kept = self._listed.get(plan_id)
        if kept is not None and kept[0] == signatures:
            return kept[1]
        written = signatures[0].written / 1e9
        try:
            stored = self.find(plan_id)
        except ConfigurationError as error:
            listed = ListedPlan(plan_id, written, fault=str(error))
        else:
            # None where somebody has just removed the file.
            listed = ListedPlan(plan_id, written, state="") if stored is None else _list_stored(stored, written)
        self._keep(self._listed, plan_id, (signatures, listed), 2 * MAX_LISTED)
        return listed

    def _keep(self, kept: OrderedDict[str, Any], plan_id: str, value: object, most: int) -> None:
        with self._lock:
            kept[plan_id] = value
            kept.move_to_end(plan_id)
            while len(kept) > most:
                kept.popitem(last=False)


def _list_stored(stored: StoredPlan, written: float) -> ListedPlan:
    status = NEW_PLAN if stored.is_strange else stored.status
    return ListedPlan(
        stored.id,
        written,
        made_at=stored.plan.made_at,
        items=len(stored.plan.items),
        revoking=stored.revoking,
        state=status.state,
        stage="" if status.intent is None else status.intent.stage,
        at=status.at,
        by=status.by,
    )


def _signature(path: Path) -> Signature | None:
    """The signature of a file; None for what is no file of its own, such as a link out of the folder."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Signature(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read_plan(path: Path, signature: Signature) -> Plan:
    if signature.size > MAX_BYTES:
        raise ConfigurationError(f"the plan has more than {MAX_BYTES >> 20} MB")
    try:
        return Plan.decode(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigurationError("the plan file cannot be read") from None
