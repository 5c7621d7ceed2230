"""Validation of tables of plain values, such as settings and TOML tables.

Every fault is noted with its place. A faulty value reads as if it were absent, so one fault hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from jwt_lp._support.toml_lines import KeyPath

Fault: TypeAlias = "tuple[KeyPath, str]"

MAX_NUMBER: Final = 10**9
_MAX_SHOWN: Final = 256
_MAX_NAMES: Final = 8
_UNITS: Final = (("s", 1), ("m", 60), ("h", 3600), ("d", 86400))
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about `word`: the nearest of `known`, or "" if none is near."""
    # Only a message about a fault needs it.
    import difflib

    matches = difflib.get_close_matches(word[:_MAX_SHOWN], list(known), n=1)
    return f"; did you mean {matches[0]!a}?" if matches else ""


def quote_text(text: str) -> str:
    """`text` quoted for a message: ASCII, on one line, and cut after 256 characters."""
    return ascii(text) if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]!a}..."


def join_names(texts: Iterable[str]) -> str:
    """Join the first names of `texts` for a message, and add how many more there are."""
    names = list(texts)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def format_fault(fault: Fault) -> str:
    """The fault with its place in front, as in `roles.clerk.grants[1]: ...`."""
    path, text = fault
    place = ""
    for key in path:
        if isinstance(key, int):
            place += f"[{key}]"
        else:
            place += ("." if place else "") + (key if _BARE.fullmatch(key) else quote_text(key))
    return f"{place}: {text}" if place else text


class TableReader(NamedTuple):
    """One table: its place, its values, and the list to which its faults are added."""

    path: KeyPath
    data: Mapping[str, object]
    faults: list[Fault]

    @classmethod
    def read(
        cls, path: KeyPath, value: object, faults: list[Fault], known: Collection[str] | None = None
    ) -> TableReader:
        """Read `value`, a mapping with str keys; each key must be in `known` unless that is None."""
        if not isinstance(value, Mapping):
            faults.append((path, f"must be a table, not {type(value).__name__}"))
            return cls(path, {}, faults)
        data: dict[str, object] = {}
        for key, item in cast(Mapping[object, object], value).items():
            if not isinstance(key, str):
                faults.append((path, f"a key must be a string, not {type(key).__name__}"))
            elif known is not None and key not in known:
                hint = did_you_mean(key, known) or f"; the keys are {', '.join(known)}"
                faults.append(((*path, key), f"unknown key{hint}"))
            else:
                data[key] = item
        return cls(path, data, faults)

    def fault(self, text: str, *at: str | int) -> None:
        """Note a fault of the table, or of the value `at` a key and position in it."""
        self.faults.append(((*self.path, *at), text))

    def tables(self, key: str, known: Collection[str]) -> Iterator[tuple[str, TableReader]]:
        """The tables by name under `key`, in their order; each of their keys must be in `known`."""
        named = TableReader.read((*self.path, key), self.data.get(key, {}), self.faults)
        for name, value in named.data.items():
            yield name, TableReader.read((*named.path, name), value, self.faults, known)

    def text(self, key: str) -> str:
        """The string under `key`; "" if there is none."""
        value = self.data.get(key, "")
        if isinstance(value, str):
            return value
        self.fault(f"must be a string, not {type(value).__name__}", key)
        return ""

    def texts(self, key: str) -> tuple[tuple[int, str], ...]:
        """The strings under `key`, each with its position; a duplicate is a fault."""
        value = self.data.get(key, ())
        if not isinstance(value, list | tuple):
            self.fault(f"must be a list of strings, not {type(value).__name__}", key)
            return ()
        positions: dict[str, int] = {}
        for index, item in enumerate(cast(Iterable[object], value)):
            if not isinstance(item, str):
                self.fault(f"must be a string, not {type(item).__name__}", key, index)
            elif item in positions:
                self.fault(f"{quote_text(item)} is duplicated", key, index)
            else:
                positions[item] = index
        return tuple((index, text) for text, index in positions.items())

    def names(self, key: str, known: Collection[str], noun: str) -> tuple[str, ...]:
        """The strings under `key`; each must be in `known`, the names of all values of the kind `noun`."""
        texts = self.texts(key)
        for index, name in texts:
            if name not in known:
                self.fault(f"there is no {noun} {quote_text(name)}{did_you_mean(name, known)}", key, index)
        return tuple(name for _, name in texts if name in known)

    def choice(self, key: str, options: tuple[str, ...], default: str) -> str:
        """The value under `key`, one of `options`; `default` if there is none."""
        value = self.data.get(key, default)
        if isinstance(value, str) and value in options:
            return value
        hint = did_you_mean(value, options) if isinstance(value, str) else ""
        self.fault(f"must be one of {', '.join(options)}{hint}", key)
        return default

    def flag(self, key: str) -> bool:
        """The boolean under `key`; False if there is none."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            self.fault(f"must be true or false, not {type(value).__name__}", key)
        return value is True

    def number(self, key: str, unit: str) -> int | None:
        """The whole number of `unit` under `key`, from 1 to `MAX_NUMBER`; None if there is none."""
        return self._check_number(key, self.data.get(key), f"a whole number of {unit}")

    def seconds(self, key: str) -> int | None:
        """The seconds under `key`, a number or a span like "5m" (s, m, h or d); None if there is none."""
        value = self.data.get(key)
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is not None:
            value = int(match[1]) * dict(_UNITS)[match[2]]
        return self._check_number(key, value, 'a whole number of seconds, or a span like "5m",')

    def _check_number(self, key: str, value: object, wanted: str) -> int | None:
        # The exact type, because True is an int too.
        if value is None or (type(value) is int and 1 <= value <= MAX_NUMBER):
            return value
        self.fault(f"must be {wanted} from 1 to {MAX_NUMBER}", key)
        return None
