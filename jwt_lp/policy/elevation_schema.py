"""Reading of the table `[elevation]` of the policy file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import GrammarError
from jwt_lp.permissions.grants import Permission, check_grant
from jwt_lp.policy.elevation_rules import ANYONE, DEFAULT_ANSWER, DEFAULT_LONGEST, ElevationRule
from jwt_lp.policy.matching import RISKS, overlaps, parse_role_source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jwt_lp._support.validation import TableReader
    from jwt_lp.policy.entries import CatalogueEntry

MAX_LONGEST: Final = 31 * 86400
"""The most seconds that a rule may allow. Whoever needs a permission for longer needs a role."""

MAX_APPROVALS: Final = 10
_KEYS: Final = (
    "ask",
    "approve",
    "approvals",
    "self",
    "longest",
    "answer",
    "reason",
    "ticket",
    "break_glass",
    "approver_issuers",
    "approver_since",
)


def read_elevation(
    top: TableReader, catalogue: Mapping[str, CatalogueEntry], roles: Collection[str]
) -> dict[str, ElevationRule]:
    """The table `[elevation]`, by permission or pattern."""
    tables = dict(top.tables("elevation", _KEYS))
    rules = {name: _read_rule(name, table, catalogue, roles) for name, table in tables.items()}
    deciding = {rule.approve: name for name, rule in rules.items() if rule.approve}
    for name, table in tables.items():
        for permission, other in deciding.items():
            # INVARIANT: nobody becomes an approver by an elevation.
            if overlaps(name, permission):
                table.fault(f"covers {quote_text(permission)}, whose holders approve elevations of {quote_text(other)}")
    return rules


def _read_rule(
    name: str, table: TableReader, catalogue: Mapping[str, CatalogueEntry], roles: Collection[str]
) -> ElevationRule:
    _check_pattern(name, table, catalogue)
    rule = ElevationRule(
        name,
        _read_ask(table, roles),
        _read_approve(table, catalogue),
        approvals=_number(table, "approvals", 1, "approvals", MAX_APPROVALS),
        own=table.flag("self"),
        longest=_seconds(table, "longest", DEFAULT_LONGEST),
        answer=_seconds(table, "answer", DEFAULT_ANSWER),
        reason=table.flag("reason") or "reason" not in table.data,
        ticket=_read_ticket(table),
        break_glass=table.flag("break_glass"),
        approver_issuers=_read_issuers(table),
        approver_since=_seconds(table, "approver_since", 0),
    )
    _check_self(rule, table, catalogue)
    _check_break_glass(rule, table)
    return rule


def _check_pattern(name: str, table: TableReader, catalogue: Mapping[str, CatalogueEntry]) -> None:
    try:
        check_grant(name)
    except GrammarError as error:
        table.fault(str(error))
        return
    live = [entry.name for entry in catalogue.values() if not entry.retired]
    if catalogue and not any(overlaps(name, entry) for entry in live):
        what = "covers nothing in the catalogue" if "*" in name else "is not in the catalogue, or is retired"
        table.fault(f"{what}{did_you_mean(name, live)}")


def _read_ask(table: TableReader, roles: Collection[str]) -> tuple[str, ...]:
    value = table.data.get("ask")
    if value == ANYONE:
        return (ANYONE,)
    if value is None or isinstance(value, str):
        table.fault('must say who may ask: "anyone", or a list such as ["role:support", "subject:ana"]', "ask")
        return ()
    texts = table.texts("ask")
    for index, text in texts:
        kind, _, name = text.partition(":")
        if kind == "role":
            if name not in roles:
                table.fault(f"there is no role {quote_text(name)}{did_you_mean(name, roles)}", "ask", index)
        elif _subject_source(text) is None:
            table.fault(
                f'{quote_text(text)} is neither "role:NAME" nor "subject:NAME" nor "issuer/subject:NAME"', "ask", index
            )
    if not value:
        table.fault("nobody may ask: name a role or a subject, or remove the rule", "ask")
    return tuple(text for _, text in texts)


def _subject_source(text: str) -> tuple[str | None, str] | None:
    source = parse_role_source(text)
    return source if source is not None and source[1].startswith("subject:") else None


def _read_approve(table: TableReader, catalogue: Mapping[str, CatalogueEntry]) -> str:
    text = table.text("approve")
    if not text:
        if "approve" not in table.data or table.data["approve"] == "":
            table.fault("must be the permission whose holders decide", "approve")
        return ""
    try:
        Permission.parse(text)
    except GrammarError as error:
        table.fault(str(error), "approve")
        return ""
    live = [entry.name for entry in catalogue.values() if not entry.retired]
    if catalogue and not any(overlaps(text, entry) for entry in live):
        table.fault(f"{quote_text(text)} is not in the catalogue, or is retired{did_you_mean(text, live)}", "approve")
    return text


def _read_ticket(table: TableReader) -> str:
    value = table.data.get("ticket", False)
    if isinstance(value, bool):
        return ".+" if value else ""
    if isinstance(value, str) and value:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError):
            table.fault("is not a regular expression", "ticket")
        else:
            return value
    else:
        table.fault("must be true, false, or a regular expression for the whole ticket", "ticket")
    return ""


def _read_issuers(table: TableReader) -> tuple[str, ...]:
    names = table.texts("approver_issuers")
    for index, name in names:
        if not name or not name.isprintable() or "/" in name or ":" in name:
            table.fault("is not the name of an issuer in the settings", "approver_issuers", index)
    return tuple(name.lower() for _, name in names)


def _number(table: TableReader, key: str, default: int, unit: str, largest: int) -> int:
    number = table.number(key, unit)
    if number is not None and number > largest:
        table.fault(f"must be at most {largest}", key)
    return default if number is None else number


def _seconds(table: TableReader, key: str, default: int) -> int:
    seconds = table.seconds(key)
    if seconds is not None and seconds > MAX_LONGEST:
        table.fault(f"must be at most {MAX_LONGEST} seconds, which is 31 days", key)
    return default if seconds is None else seconds


def _check_self(rule: ElevationRule, table: TableReader, catalogue: Mapping[str, CatalogueEntry]) -> None:
    if not rule.own:
        return
    risks = [entry.risk for entry in catalogue.values() if overlaps(rule.pattern, entry.name)]
    risk = max(risks, key=RISKS.index, default="medium")
    if risk != "low":
        table.fault(f"may be true only where every permission of the rule is of low risk, and one is of {risk}", "self")


def _check_break_glass(rule: ElevationRule, table: TableReader) -> None:
    if not rule.break_glass:
        return
    # INVARIANT: what is granted without an approval is granted to named people and roles only.
    if rule.ask == (ANYONE,):
        table.fault('must name roles or subjects where break_glass is true: "anyone" would be granted at once', "ask")
    for index, text in enumerate(rule.ask):
        source = _subject_source(text)
        if source is not None and source[0] is None:
            table.fault(
                f"{quote_text(text)} is that subject of any issuer: write issuer/subject:NAME where break_glass is true",
                "ask",
                index,
            )
