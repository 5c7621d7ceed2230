"""Lint findings as SARIF 2.1.0 (OASIS Static Analysis Results Interchange Format).

Neither the results nor their fingerprints contain the value of a claim.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from jwt_lp.lint.linter import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.cli.token_batch import LintedToken, UnreadableToken
    from jwt_lp.lint.linter import ExemptedFinding, LintFinding, LintRule

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_INDEXES: Final = {rule: index for index, rule in enumerate(RULES)}


def sarif(linted: Sequence[LintedToken], unreadable: Sequence[UnreadableToken], release: str) -> dict[str, object]:
    """One log with one run: a result for each finding, and a suppressed result for each exempted finding."""
    results: list[dict[str, object]] = []
    for entry in linted:
        results += [_result(finding, entry) for finding in entry.report.findings]
        results += [_suppressed(exempted, entry) for exempted in entry.report.exempt]
    driver = {
        "name": "jwt-lp",
        "version": release,
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    notes = [_notification(entry) for entry in unreadable]
    invocation = {"executionSuccessful": not notes, "toolExecutionNotifications": notes}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: LintRule) -> dict[str, object]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} Remedy: {rule.remedy}."},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(finding: LintFinding, linted: LintedToken) -> dict[str, object]:
    where = "header" if finding.claim.startswith("header.") else "payload"
    claim = finding.claim.removeprefix("header.")
    logical = {
        "name": claim or "token",
        "fullyQualifiedName": f"{where}.{claim}" if claim else "token",
        "kind": "property" if claim else "object",
    }
    place: dict[str, object] = {"logicalLocations": [logical]}
    if linted.file:
        place["physicalLocation"] = _physical(linted.file, linted.line)
    identity = f"{finding.id}\n{finding.claim}"
    return {
        "ruleId": finding.id,
        "ruleIndex": _INDEXES[finding.id],
        "level": finding.severity,
        "message": {"text": f"{finding.message}. Remedy: {finding.remedy}."},
        "locations": [place],
        # INVARIANT: only names are hashed, so that the fingerprint cannot confirm a guessed value.
        "partialFingerprints": {"jwtLpClaim/v1": hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()},
        "properties": {"characters": finding.characters},
    }


def _suppressed(exempted: ExemptedFinding, linted: LintedToken) -> dict[str, object]:
    why = f"{exempted.exemption.reason} (until {exempted.exemption.until.isoformat()})"
    # A suppression without a status counts as accepted; the published schemas disagree on that member's name.
    suppression = {"kind": "external", "justification": why}
    return {**_result(exempted.finding, linted), "suppressions": [suppression]}


def _notification(unreadable: UnreadableToken) -> dict[str, object]:
    notification: dict[str, object] = {"level": "error", "message": {"text": unreadable.why}}
    if unreadable.file:
        notification["locations"] = [{"physicalLocation": _physical(unreadable.file, unreadable.line)}]
    return notification


def _physical(file: str, line: int) -> dict[str, object]:
    path = Path(file)
    uri = path.as_uri() if path.is_absolute() else quote(PurePath(file).as_posix())
    return {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}
