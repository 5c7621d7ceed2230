"""Checks of the commands and the outputs that the docs show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click

from docs.pages import ROOT
from jwt_lp.cli.commands import commands

# Commands of the reader's shell, which are not checked.
_SHELL_COMMANDS = {*("git", "cd", "export", "curl", "gunicorn", "journalctl", "head", "sed", "cat", "uvicorn")}
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
# Output that differs between runs and machines.
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
    """All commands by name; those of a group by both names, as in `policy check`."""
    by_name: dict[str, click.Command] = {}
    context = click.Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        if isinstance(command, click.Group):
            by_name |= {f"{name} {inner_name}": inner for inner_name, inner in command.commands.items()}
        elif command is not None:
            by_name[name] = command
    return by_name


def check_command(line: str, page: str) -> None:
    """`AssertionError` if a command or one of its options does not exist."""
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
    elif program == "flask" and words[3:] == ["run"]:
        assert words[1] == "--app", where
    elif program == "flask":
        start = words.index("jwt-lp") + 1
        rest = words[start:]
        _check_ours(["routes", *rest[1:]] if rest[:1] == ["check"] else rest, where)
    elif program == "jwt-lp":
        _check_ours(words[1:], where)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert {word for word in words[1:] if not _ASSIGNMENT.fullmatch(word)} <= set(targets), where
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file(), where
    elif program == "pip":
        _check_pip(words[2:], where)
    elif program == "pipx":
        assert words[1:3] == ["run", "--spec"], where
        assert words[4] == "jwt-lp", where
        _check_pip(words[3:4], where)
        _check_ours(words[5:], where)
    else:
        assert program in _SHELL_COMMANDS or program == "manage.py", where


def _check_pip(words: list[str], where: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words:
        match = re.fullmatch(r"(?:jwt-lp|\.)(?:\[([\w,]+)\])?", word)
        assert match is not None, where
        assert set((match[1] or "all").split(",")) <= extras.keys(), where


def _check_ours(words: list[str], where: str) -> None:
    if not words or words[0] in {"--help", "--version"}:
        return
    commands_by_name = known_commands()
    size = 1 if words[0] in commands_by_name else 2
    name = " ".join(words[:size])
    assert name in commands_by_name, f"{where}: no command {name}"
    options = {"-h", "--help"} | {
        option for param in commands_by_name[name].params for option in (*param.opts, *param.secondary_opts)
    }
    given = {word.partition("=")[0] for word in words[size:] if word.startswith("-") and word != "-"}
    assert set() == given - options, f"{where}: no such option"


def run_block(text: str, where: str) -> None:
    """Check every command of a console block. If the block shows output, run them and compare output and exit code."""
    pairs = _commands(text)
    has_output = any(output for _, output in pairs)
    for command, output in pairs:
        check_command(command, where)
        if has_output:
            _compare(command, output, f"{where}: $ {command}")


def _compare(command: str, output: str, where: str) -> None:
    exit_code = re.search(r"# exit (\d+)$", command)
    shell = ["bash", "-c", command]
    result = subprocess.run(
        shell, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert normal(output.splitlines()) == normal(result.stdout.splitlines()), where
    assert int(exit_code[1] if exit_code else 0) == result.returncode, where


def _commands(text: str) -> list[tuple[str, str]]:
    """Each command of a console block with its output."""
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], ""))
        elif pairs and pairs[-1][0].endswith("\\"):
            pairs[-1] = (f"{pairs[-1][0]}\n{line}", "")
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}{line}\n")
    return pairs


def environment() -> dict[str, str]:
    """The environment of a reader's shell, without variables of jwt-lp."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JWT_LP", "DJANGO"))}
    scripts = str(Path(sys.executable).parent)
    return {**kept, "PATH": f"{scripts}{os.pathsep}{kept.get('PATH', '')}", "COLUMNS": "110", "NO_COLOR": "1"}


def normal(lines: list[str]) -> list[str]:
    """Lines with varying parts replaced, without empty lines at the end."""
    result: list[str] = []
    for line in lines:
        text = line.rstrip()
        for varying, name in _VARYING:
            text = varying.sub(name, text)
        result.append(text)
    while result and not result[-1]:
        result.pop()
    return result
