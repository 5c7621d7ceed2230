"""Answers of a reviewer: what the forms of the Decide pages send about items and groups."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.campaigns.decision_checks import MAX_COMMENT
from jwt_lp.review.plan.decision_faults import read_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DECISIONS: Final = ("keep", "remove", "narrow", "exempt")
TAKE_BACK: Final = "undo"
"""The answer that takes a decision back; the item is open again."""
MOST_ANSWERS: Final = 250
"""The most answers that one form may send."""

_FIELD: Final = re.compile(r"(decision|until|comment|version)\.(G?[0-9a-f]{16})")
_COMMON: Final = {"all_decision": "decision", "all_until": "until", "all_comment": "comment"}
_TICKED: Final = re.compile(r"[0-9a-f]{16}")
_VERSION: Final = re.compile(r"[0-9]{1,9}")
_GROUP_PREFIX: Final = "G"


class Answer(NamedTuple):
    """The answer about one item, or about one group of items (`is_group`).

    `version` is what the form showed: the version of an item, the state of a group's open members.
    """

    name: str
    decision: str
    until: str = ""
    comment: str = ""
    version: str = ""

    @property
    def is_group(self) -> bool:
        """Whether it is about a group."""
        return self.name.startswith(_GROUP_PREFIX)

    @property
    def id(self) -> str:
        """The id of the item or of the group."""
        return self.name.removeprefix(_GROUP_PREFIX)

    def fields(self) -> Iterator[tuple[str, str]]:
        """The fields of a form that sends the same answer again."""
        for name in ("decision", "until", "comment", "version"):
            yield f"{name}.{self.name}", getattr(self, name)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a form, and its faults: by the name of an answer, "" for those of the whole form."""

    given: tuple[Answer, ...] = ()
    ticked: frozenset[str] = frozenset()
    shown: dict[str, Answer] = field(default_factory=dict[str, Answer])
    faults: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def items(self) -> tuple[Answer, ...]:
        """The answers about single items."""
        return tuple(answer for answer in self.given if not answer.is_group)

    @property
    def groups(self) -> tuple[Answer, ...]:
        """The answers about groups."""
        return tuple(answer for answer in self.given if answer.is_group)

    def with_faults(self, faults: Iterable[str]) -> Answers:
        """The same answers with faults of the whole form."""
        return replace(self, faults={"": " ".join(faults)})

    def of(self, name: str) -> Answer:
        """What the form says about an item or a group, with its empty fields."""
        return self.shown.get(name, Answer(name, ""))


def read_answers(fields: Iterable[tuple[str, object]]) -> Answers:
    """The answers of a submitted form; a field that is none of theirs is left out.

    The items that are ticked (`tick`) get the answer of the fields `all_decision`, `all_until` and `all_comment`.
    """
    parts: dict[str, dict[str, str]] = {}
    ticked: list[str] = []
    common: dict[str, str] = {}
    for name, value in fields:
        if not isinstance(value, str):
            continue
        if match := _FIELD.fullmatch(name):
            parts.setdefault(match[2], {})[match[1]] = value.strip()
        elif name == "tick" and _TICKED.fullmatch(value):
            ticked.append(value)
        elif common_name := _COMMON.get(name):
            common[common_name] = value.strip()
    if common.get("decision"):
        for name in ticked:
            parts[name] = {**parts.get(name, {}), **common}
    shown = {name: _answer(name, values) for name, values in parts.items()}
    given = tuple(answer for answer in shown.values() if answer.decision)
    return Answers(given, frozenset(ticked), shown, dict(_faults(given, ticked, common)))


def _answer(name: str, values: dict[str, str]) -> Answer:
    decision = values.get("decision", "").lower()
    return Answer(
        name,
        decision,
        # Where the field is hidden because the decision needs no day, it may still hold one.
        values.get("until", "") if decision == "exempt" else "",
        values.get("comment", ""),
        values.get("version", ""),
    )


def _faults(given: tuple[Answer, ...], ticked: list[str], common: dict[str, str]) -> Iterator[tuple[str, str]]:
    if common.get("decision") and not ticked:
        yield "", "Tick the items that the decision is for."
    elif not given:
        yield "", "Nothing was decided: choose a decision for an item, or tick items and choose one for all of them."
    if len(given) > MOST_ANSWERS:
        yield "", f"More than {MOST_ANSWERS} decisions at once: send fewer."
    for answer in given:
        if answer.decision not in (*DECISIONS, TAKE_BACK):
            yield answer.name, "This is no decision: choose one of the list."
        elif not answer.is_group and _VERSION.fullmatch(answer.version) is None:
            yield answer.name, "The form does not say which version of the item it showed: open the page again."
        elif answer.decision == "exempt" and read_day(answer.until) is None:
            yield answer.name, "An exemption needs a last day, such as 2027-01-31."
        elif len(answer.comment) > MAX_COMMENT:
            yield answer.name, f"A comment has at most {MAX_COMMENT:,} characters."
