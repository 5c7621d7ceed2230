"""Is this a command that there is, and does it say what is shown?"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import cast

import click

from docs.pages import ROOT
from jwt_lp.cli.commands import commands

# What a reader's shell has, and what nobody needs to check here.
_THEIRS = {*("git", "cd", "export", "curl", "gunicorn", "journalctl", "head", "sed")}
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
# What differs from run to run, and from machine to machine.
_VARYING = (
    (re.compile(r"eyJ\S*"), "TOKEN"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "TIME"),
    (re.compile(r"\bdevelopment-[0-9a-f]{12}\b"), "KEY"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "KEY"),
    (re.compile(r"^(id|ancestors)( +)[\w-]{16}$"), r"\1\2ID"),
    (re.compile(r"\b\d+ s ago\b"), "AGO"),
    (re.compile(r"\bpublished for \d+ s\b"), "published for SECONDS"),
    (re.compile(r"\bwait \d+ s\b"), "wait SECONDS"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "FINGERPRINT"),
    (re.compile(r"\b[0-9a-f]{10}\b"), "REFERENCE"),
    (
        re.compile(r"\b(Python|PyJWT|cryptography|Django|djangorestframework|Flask|starlette|fastapi) [0-9]\S*"),
        r"\1 RELEASE",
    ),
    (re.compile(r" on (Linux|Darwin|Windows)"), " on SYSTEM"),
)


def known_commands() -> dict[str, click.Command]:
    """The commands that there are, by name; those of a group by both names, as in `policy check`."""
    found: dict[str, click.Command] = {}
    for name, command in cast("click.Group", commands).commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {each}": inner for each, inner in command.commands.items()}
        else:
            found[name] = command
    return found


def check_command(line: str, page: str) -> None:
    """`AssertionError` where a command, or one of its options, is none."""
    lexer = shlex.shlex(line.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in (*lexer, ";"):
        for inner in re.findall(r"\$\((.+?)\)", word):
            check_command(inner, page)
        if word not in {";", "&&", "||", "|", "&"}:
            words.append(word)
            continue
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        if words:
            _check(words, f"{page}: {line}")
        words = []


def _check(words: list[str], where: str) -> None:
    if words[:2] == ["python", "manage.py"]:
        words = words[1:]
    program = words[0]
    if words[:2] == ["manage.py", "jwt_lp"]:
        _check_ours(words[2:], where)
    elif program == "flask":
        start = words.index("jwt-lp") + 1
        rest = words[start:]
        _check_ours(["routes", *rest[1:]] if rest[:1] == ["check"] else rest, where)
    elif program == "jwt-lp":
        _check_ours(words[1:], where)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(words[1:]) <= set(targets), where
    elif program == "pip":
        _check_pip(words, where)
    else:
        assert program in _THEIRS or program == "manage.py", where


def _check_pip(words: list[str], where: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words[2:]:
        found = re.fullmatch(r"jwt-lp(?:\[([\w,]+)\])?", word)
        assert found is not None, where
        assert set((found[1] or "all").split(",")) <= extras.keys(), where


def _check_ours(words: list[str], where: str) -> None:
    if not words or words[0] in {"--help", "--version"}:
        return
    known = known_commands()
    size = 1 if words[0] in known else 2
    name = " ".join(words[:size])
    assert name in known, f"{where}: no command {name}"
    options = {"-h", "--help"} | {each for param in known[name].params for each in (*param.opts, *param.secondary_opts)}
    given = {word.partition("=")[0] for word in words[size:] if word.startswith("-") and word != "-"}
    assert set() == given - options, f"{where}: no such option"


def run_block(text: str, where: str) -> None:
    """Check every command of a console block; where it shows output, run them and compare, exit codes too."""
    found = _commands(text)
    shows = any(output for _, output in found)
    for command, output in found:
        check_command(command, where)
        if shows:
            _compare(command, output, f"{where}: $ {command}")


def _compare(command: str, output: str, where: str) -> None:
    exits = re.search(r"# exit (\d+)$", command)
    shell = ["bash", "-c", command]
    done = subprocess.run(
        shell, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert normal(output.splitlines()) == normal(done.stdout.splitlines()), where
    assert int(exits[1] if exits else 0) == done.returncode, where


def _commands(text: str) -> list[tuple[str, str]]:
    """Each command of a console block with the output that is shown for it."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def environment() -> dict[str, str]:
    """What a shell of the reader has; nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JWT_LP", "DJANGO"))}
    scripts = str(Path(sys.executable).parent)
    return {**kept, "PATH": f"{scripts}{os.pathsep}{kept.get('PATH', '')}", "COLUMNS": "110", "NO_COLOR": "1"}


def normal(lines: list[str]) -> list[str]:
    """Lines without what differs from run to run, the empty ones at the end aside."""
    found: list[str] = []
    for line in lines:
        said = line.rstrip()
        for varying, name in _VARYING:
            said = varying.sub(name, said)
        found.append(said)
    while found and not found[-1]:
        found.pop()
    return found
