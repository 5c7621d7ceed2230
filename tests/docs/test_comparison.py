"""Tests of the comparison: each yes of ours names a test that exists, and each no against a peer's yes has its reason."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

import pytest

from docs.pages import ROOT

pytestmark = pytest.mark.docs

PAGE = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
MARKS = {"yes", "partly", "no", "n/a"}
# Where a Python peer says yes and we say no: by design, and bound tokens, whose proof is not checked yet.
NOT_OURS = {"query or body", "wildcard in the rule"}


def rows() -> list[tuple[str, list[str], str, str]]:
    """Feature, the marks of the peers, ours, and how."""
    found: list[tuple[str, list[str], str, str]] = []
    peers = 0
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if cells[:1] == ["feature"]:
            peers = len(cells) - 3
        elif not cells:
            peers = 0
        elif peers and cells[0] != "---" and not set(line) <= set("|- "):
            name, *marks, ours, how = cells
            assert peers == len(marks), line
            found.append((name, marks, ours, how))
    return found


@lru_cache
def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_tables_are_read_whole() -> None:
    """Every table has its rows, with marks of the key only."""
    assert len(rows()) > 55
    assert set() == {mark for _, marks, _, _ in rows() for mark in marks} - MARKS
    assert {"yes", "no", "no, by design"} == {ours for _, _, ours, _ in rows()}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_yes_names_a_test(row: tuple[str, list[str], str, str]) -> None:
    """A yes has at least one test, and each test that is named exists."""
    _, _, ours, how = row
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", how)
    assert named or ours != "yes"
    for path, name in named:
        assert name in functions_in(path), f"{path}::{name}"


def test_no_python_peer_has_what_we_lack() -> None:
    """Where a peer says yes, we do too, except where a reason is written."""
    assert NOT_OURS == {name for name, marks, ours, _ in rows() if "yes" in marks and ours != "yes"}
