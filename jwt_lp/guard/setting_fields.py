"""Reader of single settings: text, lists, flags and seconds.

Values from a mapping, TOML or the environment are read alike: a list may be comma-separated text, and a flag may be
a word. Faults are collected, so that the operator sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final, TypeGuard, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp._support.validation import did_you_mean

_WORDS: Final = MappingProxyType(
    {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
)


class SettingReader:
    """Reads one mapping and collects its faults; every method returns a usable value."""

    def __init__(self, mapping: object, where: str) -> None:
        self.faults: list[str] = []
        self.where = where
        self.values: dict[str, object] = {}
        if not isinstance(mapping, Mapping):
            self.fault(f"is a mapping of settings, not {type(mapping).__name__}")
            return
        for key, value in cast(Mapping[object, object], mapping).items():
            name = str(key).upper()
            if name in self.values:
                self.fault(f"{name} is given twice")
            self.values[name] = value

    def fault(self, text: str) -> None:
        """Note one fault."""
        self.faults.append(f"{self.where}: {text}")

    def reject_unknown(self, known: Collection[str], elsewhere: Mapping[str, str] = MappingProxyType({})) -> None:
        """Note every unknown key with the nearest known one, or with its hint in `elsewhere`."""
        for name in self.values:
            if name not in known:
                self.fault(f"unknown key {name!a}{elsewhere.get(name) or did_you_mean(name, known)}")

    def text(self, key: str, *, required: str | None = None) -> str | None:
        """A non-empty string, or None; `required` describes a value that must be given."""
        value = self.values.get(key)
        if isinstance(value, str) and value:
            return value
        if value not in (None, ""):
            self.fault(f"{key} is a string, not {type(value).__name__}")
        elif required:
            self.fault(f"{key} is missing or empty: {required}")
        return None

    def texts(self, key: str, *, required: str | None = None) -> tuple[str, ...]:
        """Non-empty strings, from a list or from comma-separated text; `required` as for `text`."""
        value = self.values.get(key)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if value.strip() else []
        if value is None or (_is_collection(value) and not value):
            if required:
                self.fault(f"{key} is missing or empty: {required}")
            return ()
        if is_json_object(value) or not _is_collection(value):
            self.fault(f"{key} is a list of strings, not {type(value).__name__}")
            return ()
        texts = tuple(text for text in value if isinstance(text, str) and text)
        if len(texts) != len(value):
            self.fault(f"{key} is a list of non-empty strings")
            return ()
        return texts

    def word(self, key: str) -> object:
        """The value; True or False if it is a word for one of them."""
        value = self.values.get(key)
        return _WORDS.get(value.lower(), value) if isinstance(value, str) else value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or False, also given as a word."""
        value = self.word(key) if key in self.values else default
        if not isinstance(value, bool):
            self.fault(f"{key} is True or False")
            return default
        return value

    def seconds(self, key: str, default: float, most: float | None) -> float:
        """A number of seconds or a timedelta, from 0 to `most`."""
        value = self.values.get(key, default)
        try:
            number = (
                float(cast(str, value)) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1
            )
        except (ValueError, OverflowError):
            number = -1
        if isinstance(value, timedelta):
            number = value.total_seconds()
        if not 0 <= number <= (most if most is not None else 10 * 365 * 86400):
            self.fault(f"{key} is a number of seconds from 0 to {most if most is not None else 'ten years'}")
            return default
        return number


def _is_collection(value: object) -> TypeGuard[Collection[object]]:
    return isinstance(value, Collection)
