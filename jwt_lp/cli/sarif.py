"""How is it said in SARIF 2.1.0, for whoever shows findings beside code?

OASIS, Static Analysis Results Interchange Format. No value of a claim is in it, nor in its fingerprints.
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
_PLACES: Final = {each: index for index, each in enumerate(RULES)}


def sarif(linted: Sequence[LintedToken], unreadable: Sequence[UnreadableToken], release: str) -> dict[str, object]:
    """One log with one run: a result for each finding, and for each that is exempt one that is suppressed."""
    results: list[dict[str, object]] = []
    for each in linted:
        results += [_result(finding, each) for finding in each.report.findings]
        results += [_suppressed(excused, each) for excused in each.report.exempt]
    driver = {
        "name": "jwt-lp",
        "version": release,
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    notes = [_notification(each) for each in unreadable]
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
    said = f"{finding.id}\n{finding.claim}"
    return {
        "ruleId": finding.id,
        "ruleIndex": _PLACES[finding.id],
        "level": finding.severity,
        "message": {"text": f"{finding.message}. Remedy: {finding.remedy}."},
        "locations": [place],
        # INVARIANT: of names only, so that nobody can try values against it.
        "partialFingerprints": {"jwtLpClaim/v1": hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()},
        "properties": {"characters": finding.characters},
    }


def _suppressed(excused: ExemptedFinding, linted: LintedToken) -> dict[str, object]:
    why = f"{excused.exemption.reason} (until {excused.exemption.until.isoformat()})"
    # Without a status it is accepted; the published schemas do not agree on that member's name.
    suppression = {"kind": "external", "justification": why}
    return {**_result(excused.finding, linted), "suppressions": [suppression]}


def _notification(unreadable: UnreadableToken) -> dict[str, object]:
    found: dict[str, object] = {"level": "error", "message": {"text": unreadable.why}}
    if unreadable.file:
        found["locations"] = [{"physicalLocation": _physical(unreadable.file, unreadable.line)}]
    return found


def _physical(file: str, line: int) -> dict[str, object]:
    path = Path(file)
    uri = path.as_uri() if path.is_absolute() else quote(PurePath(file).as_posix())
    return {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}
