"""An earlier review, as its JSON: which findings are new, which came back, and which grants are gone.

Of its findings only the ids are in memory, eight bytes each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp._support.json_stream import iter_members
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.analysis.finding_parts import REVOKED_ALREADY
from jwt_lp.review.comparison import Comparison, GoneGrant

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from jwt_lp.review.findings import Change

_HELD, _REVOKED, _PROPOSED, _SEEN = 1, 2, 4, 8
_HOLDINGS: Final = frozenset(("grant", "wildcard", "role", "member"))


def is_holding(kind: str, verdict: str) -> bool:
    """Whether a finding is about something that is held, and not about a request or a requirement."""
    return kind in _HOLDINGS and verdict != "needed-but-denied"


class EarlierReview:
    """The findings of an earlier review, compared one by one with those of a new one.

    `ConfigurationError` where the file is not the JSON of a review, or does not list every grant.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.now: str = ""
        self.digest: str = ""
        self._gone: dict[int, GoneGrant] = {}
        found: list[int] = []
        with self._faults():
            for name, value in self._members():
                if name == "findings":
                    found.append(_number_of(value["id"]) << 4 | _flags_of(value))
                else:
                    self._read_member(name, value)
        if not self.digest or not _is_day(self.now):
            raise self._fault("it names no day and no digest")
        found.sort()
        self._ids = array("Q", (entry >> 4 for entry in found))
        self._flags = bytearray(entry & 15 for entry in found)
        self._new = self._came_back = 0

    def _read_member(self, name: str, value: Any) -> None:
        if name == "now":
            self.now = str(value)
        elif name == "digest":
            self.digest = str(value)
        elif name == "comparison" and value is not None:
            self._gone = {_number_of(gone["id"]): GoneGrant(**gone) for gone in value["gone"]}
        elif name == "unlisted" and value:
            raise ConfigurationError(
                f"{self._file}: it does not list every grant: use the output of jwt-lp review --format json"
            )

    def _members(self) -> Iterator[tuple[str, Any]]:
        with self._file.open(encoding="utf-8") as source:
            yield from iter_members(source, ("findings",))

    @contextmanager
    def _faults(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(f"{self._file}: {error.strerror or error}") from None
        # Members that are missing, or of another type, show that it is something else.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._fault(f"{type(error).__name__}: {error}") from None

    def _fault(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"{self._file}: not the JSON of a review ({why})")

    def change(self, finding_id: str, *, held: bool, revoked: bool, held_since: str) -> Change:
        """What is different about a finding; each id of the new review must be asked about once.

        `held` says whether it is about something held, `revoked` whether a deny entry refuses that.
        """
        change = self._change(_number_of(finding_id), held=held, revoked=revoked, held_since=held_since)
        self._new += change == "new"
        self._came_back += change == "came-back"
        return change

    def _change(self, number: int, *, held: bool, revoked: bool, held_since: str) -> Change:
        if self._gone.pop(number, None) is not None:
            return "came-back"
        place = bisect_left(self._ids, number)
        if place == len(self._ids) or self._ids[place] != number:
            return "new"
        flags = self._flags[place]
        if not held:
            return "known"
        self._flags[place] |= _SEEN
        if not flags & _HELD:
            return "new"
        again = flags & _REVOKED and not revoked
        granted_again = flags & _PROPOSED and held_since > self.now
        return "came-back" if again or granted_again else "known"

    def comparison(self, now: str, issuer: str | None) -> Comparison:
        """The comparison after every finding was asked about. Grants of other issuers than `issuer` are left out."""
        gone = list(self._gone.values())
        with self._faults():
            for name, value in self._members():
                if name == "findings" and issuer in (None, value["issuer"]):
                    place = bisect_left(self._ids, _number_of(value["id"]))
                    if self._flags[place] & (_HELD | _SEEN) == _HELD:
                        members = {key: value[key] for key in GoneGrant._fields[:-1]}
                        gone.append(GoneGrant(**members, gone_by=now))
        return Comparison(now=self.now, digest=self.digest, new=self._new, came_back=self._came_back, gone=tuple(gone))


def _number_of(finding_id: str) -> int:
    if len(finding_id) != 16:  # noqa: PLR2004 - hexadecimal digits of an id
        raise ValueError("an id has 16 hexadecimal digits")
    return int(finding_id, 16)


def _flags_of(finding: dict[str, Any]) -> int:
    guards = cast("list[str]", finding["guards"])
    held = is_holding(finding["kind"], finding["verdict"])
    proposed: bool = finding["proposal"] != "keep"
    return _HELD * held | _REVOKED * (REVOKED_ALREADY in guards) | _PROPOSED * proposed


def _is_day(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
