"""The pages of the docs as fenced blocks and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"```(\w*)(?:\s+title=\"([^\"]+)\")?\s*")
_CODE = re.compile(r"(`+)(.+?)\1")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line, language, file name (`title="…"`) and text."""

    line: int
    language: str
    title: str
    text: str


@dataclass(frozen=True)
class MarkdownTable:
    """A table: its first line, headings and rows. Cells are as written, without padding."""

    line: int
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Piece = Block | MarkdownTable


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def pieces(page: str) -> Iterator[Piece]:
    """Every fenced block and table of a page, in order."""
    lines = text_of(page).splitlines()
    number = 0
    while number < len(lines):
        begun, opened = number, _FENCE.fullmatch(lines[number])
        number += 1
        if opened is not None:
            number = lines.index("```", number) + 1
            text = "".join(f"{line}\n" for line in lines[begun + 1 : number - 1])
            yield Block(begun + 1, opened[1], opened[2] or "", text)
        elif lines[begun].startswith("```"):
            raise AssertionError(f"{page}:{number}: not a fence that this reads: {lines[begun]}")
        elif lines[begun].startswith("|"):
            while number < len(lines) and lines[number].startswith("|"):
                number += 1
            heading, _, *rows = (_cells(line) for line in lines[begun:number])
            yield MarkdownTable(begun + 1, heading, tuple(rows))


def _cells(line: str) -> tuple[str, ...]:
    """The cells of a row; a pipe inside code or after a backslash belongs to its cell."""
    line_without_pipes = _CODE.sub(lambda match: match[0].replace("|", "\0"), line.strip()).replace("\\|", "\0")
    return tuple(cell.strip().replace("\0", "|") for cell in line_without_pipes.strip("|").split("|"))


def tables(page: str, *heading: str) -> list[MarkdownTable]:
    """The tables of a page that have this heading."""
    return [piece for piece in pieces(page) if isinstance(piece, MarkdownTable) and piece.heading == heading]


def blocks(page: str, language: str) -> list[Block]:
    """The fenced blocks of a page in this language."""
    return [piece for piece in pieces(page) if isinstance(piece, Block) and piece.language == language]


def codes(cell: str) -> list[str]:
    """The texts between backticks in a cell or a paragraph."""
    return [match[2].strip() for match in _CODE.finditer(cell)]


def code(cell: str) -> str:
    """The only text between backticks in a cell."""
    (text,) = codes(cell)
    return text


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def anchors(page: str) -> set[str]:
    """The anchors of the page's headings, as the usual renderers name them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def column(table: MarkdownTable, number: int = 0) -> list[str]:
    """One column of code, without backticks."""
    return [code(row[number]) for row in table.rows]


Namespace = dict[str, Any]
