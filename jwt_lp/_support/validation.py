"""Does this table hold what it may?

Reads tables of plain values, whatever they hold, and notes every fault with its place; what is at fault reads
as if it were absent, so that one fault hides no other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from jwt_lp._support.toml_lines import KeyPath

Fault: TypeAlias = "tuple[KeyPath, str]"

MAX_NUMBER: Final = 10**9
_MAX_SHOWN: Final = 256
_UNITS: Final = (("s", 1), ("m", 60), ("h", 3600), ("d", 86400))
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about `word`: which of `known` may have been meant, or nothing."""
    found = difflib.get_close_matches(word[:_MAX_SHOWN], list(known), n=1)
    return f"; did you mean {found[0]!a}?" if found else ""


def quote_text(text: str) -> str:
    """Return `text` quoted for a message: ASCII, on one line, cut where it is too long to read."""
    return ascii(text) if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]!a}..."


def format_fault(fault: Fault) -> str:
    """Return the fault with its place in front, as in `roles.clerk.grants[1]: ...`."""
    path, text = fault
    place = ""
    for key in path:
        if isinstance(key, int):
            place += f"[{key}]"
        else:
            place += ("." if place else "") + (key if _BARE.fullmatch(key) else quote_text(key))
    return f"{place}: {text}" if place else text


@dataclass(frozen=True, slots=True)
class TableReader:
    """One table: where it stands, what it holds, and where its faults are noted."""

    path: KeyPath
    data: Mapping[str, object]
    faults: list[Fault]

    @classmethod
    def read(
        cls, path: KeyPath, value: object, faults: list[Fault], known: Collection[str] | None = None
    ) -> TableReader:
        """Read `value`: a mapping whose keys are strings, all of them among `known` unless that is None."""
        if not isinstance(value, Mapping):
            faults.append((path, f"must be a table, not {type(value).__name__}"))
            return cls(path, {}, faults)
        data: dict[str, object] = {}
        for key, each in cast(Mapping[object, object], value).items():
            if not isinstance(key, str):
                faults.append((path, f"a key must be a string, not {type(key).__name__}"))
            elif known is not None and key not in known:
                hint = did_you_mean(key, known) or f"; the keys are {', '.join(known)}"
                faults.append(((*path, key), f"unknown key{hint}"))
            else:
                data[key] = each
        return cls(path, data, faults)

    def fault(self, text: str, *at: str | int) -> None:
        """Note a fault of the table, or of what stands `at` a key and position in it."""
        self.faults.append(((*self.path, *at), text))

    def tables(self, key: str, known: Collection[str]) -> Iterator[tuple[str, TableReader]]:
        """Each of the tables by name under `key`, in their order, with keys among `known`."""
        named = TableReader.read((*self.path, key), self.data.get(key, {}), self.faults)
        for name, value in named.data.items():
            yield name, TableReader.read((*named.path, name), value, self.faults, known)

    def text(self, key: str) -> str:
        """The string under `key`; "" where there is none."""
        value = self.data.get(key, "")
        if isinstance(value, str):
            return value
        self.fault(f"must be a string, not {type(value).__name__}", key)
        return ""

    def texts(self, key: str) -> tuple[tuple[int, str], ...]:
        """The strings under `key`, none of them twice, each with its position."""
        value = self.data.get(key, ())
        if not isinstance(value, list | tuple):
            self.fault(f"must be a list of strings, not {type(value).__name__}", key)
            return ()
        found: dict[str, int] = {}
        for index, each in enumerate(cast(Iterable[object], value)):
            if not isinstance(each, str):
                self.fault(f"must be a string, not {type(each).__name__}", key, index)
            elif each in found:
                self.fault(f"{quote_text(each)} stands here twice", key, index)
            else:
                found[each] = index
        return tuple((index, each) for each, index in found.items())

    def names(self, key: str, known: Collection[str], noun: str) -> tuple[str, ...]:
        """The strings under `key`, each of which must be among `known`, the names of every `noun`."""
        texts = self.texts(key)
        for index, each in texts:
            if each not in known:
                self.fault(f"there is no {noun} {quote_text(each)}{did_you_mean(each, known)}", key, index)
        return tuple(each for _, each in texts if each in known)

    def choice(self, key: str, options: tuple[str, ...], default: str) -> str:
        """The one of `options` under `key`; `default` where there is none."""
        value = self.data.get(key, default)
        if isinstance(value, str) and value in options:
            return value
        hint = did_you_mean(value, options) if isinstance(value, str) else ""
        self.fault(f"must be one of {', '.join(options)}{hint}", key)
        return default

    def flag(self, key: str) -> bool:
        """The boolean under `key`; False where there is none."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            self.fault(f"must be true or false, not {type(value).__name__}", key)
        return value is True

    def number(self, key: str, unit: str) -> int | None:
        """The whole number of `unit` under `key`, from 1 to `MAX_NUMBER`; None where there is none."""
        return self._check_number(key, self.data.get(key), f"a whole number of {unit}")

    def seconds(self, key: str) -> int | None:
        """The seconds under `key`, a number or a span like "5m" (s, m, h or d); None where there is none."""
        value = self.data.get(key)
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is not None:
            value = int(found[1]) * dict(_UNITS)[found[2]]
        return self._check_number(key, value, 'a whole number of seconds, or a span like "5m",')

    def _check_number(self, key: str, value: object, wanted: str) -> int | None:
        # The exact type: True is an int too.
        if value is None or (type(value) is int and 1 <= value <= MAX_NUMBER):
            return value
        self.fault(f"must be {wanted} from 1 to {MAX_NUMBER}", key)
        return None
