"""Is the policy file well written, and what does a change to it allow?"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from jwt_lp._support.toml_lines import line_of, locate_keys, read_toml
from jwt_lp.cli.output import DIM, ERROR, OK, WARNING, Failure, count, emit, grid, say, text
from jwt_lp.errors import ConfigurationError
from jwt_lp.policy.diff import PolicyDiff, diff_policies
from jwt_lp.policy.file import MAX_BYTES, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp._support.toml_lines import KeyPath
    from jwt_lp.policy.diff import PolicyChange

_DEFAULT_PATH: Final = "least-privilege.toml"
_SECTIONS: Final = (
    ("broken", "the catalogue may only be added to at its end:", ERROR),
    ("allowed", "allows more:", WARNING),
    ("narrowed", "allows less:", DIM),
)


@dataclass(frozen=True, slots=True)
class ComparedPolicy:
    """What the policy is compared with: a file, or a revision of the same file, and what it said."""

    kind: str
    name: str
    policy: Policy


@click.group(short_help="Check the policy file, and what a change to it allows.")
def policy() -> None:
    """Commands for the policy file."""


@policy.command(short_help="Is the policy file well written, and what does it newly allow?")
@click.argument("path", metavar="[POLICY]", default=_DEFAULT_PATH)
@click.option(
    "--against",
    metavar="REV_OR_FILE",
    help="What to compare with: another policy file, or a git revision of this one, such as origin/main.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
@click.pass_context
def check(ctx: click.Context, path: str, against: str | None, form: str) -> None:
    """Check that POLICY, least-privilege.toml if left out, is well written; with --against, what a change allows.

    Compared with an older policy it names each change of the catalogue that would give a position in live tokens
    another meaning, and whatever is newly allowed, with the line. What is allowed no longer is listed too.

    \b
      jwt-lp policy check
      jwt-lp policy check --against origin/main
      jwt-lp policy check deploy/least-privilege.toml --against before.toml --format json

    The exit code is 0 when nothing more is allowed than before, 1 when something is or the catalogue was changed
    other than at its end, and 2 when the file has faults or there is nothing to compare with.
    """  # noqa: D301 - a real backspace is what click looks for
    if not Path(path).exists():
        raise Failure(f"there is no file {path}: name it: jwt-lp policy check PATH")
    found = Policy.load(path)
    other = None if against is None else _load_compared(Path(path), against)
    changes = PolicyDiff() if other is None else diff_policies(other.policy, found)
    lines = locate_keys(read_toml(path, MAX_BYTES)[1])
    if form == "json":
        emit(_as_json(found, other, changes, lines))
    else:
        _print_result(found, other, changes, lines)
    ctx.exit(1 if changes.broken or changes.allowed else 0)


def _load_compared(path: Path, against: str) -> ComparedPolicy:
    commit = _commit(path, against)
    if not Path(against).is_file():
        if commit is None:
            raise Failure(_no_such_revision(path, against))
        return ComparedPolicy("revision", against, _policy_at(path, against, commit))
    # Whoever proposes a change could add a file of that name, to be compared with that.
    if commit is not None:
        raise Failure(f"--against {against}: a file and a git revision have that name; write ./{against} for the file")
    return ComparedPolicy("file", against, Policy.load(against))


def _commit(path: Path, revision: str) -> str | None:
    """The commit that `revision` names in the repository where the policy is; None where there is none."""
    # An empty one would be the index, and what begins with a dash an option.
    if not revision or not revision.isprintable() or revision.startswith("-") or ":" in revision:
        return None
    name = re.split(r"[~^@]", revision)[0]
    refs = {f"{kind}/{name}" for kind in ("refs", "refs/tags", "refs/heads", "refs/remotes")}
    known = (_git(path, "for-each-ref", "--format=%(refname)", *sorted(refs)) or b"").decode("utf-8", "replace").split()
    # INVARIANT: whoever may push a tag does not choose what a branch is.
    if len(both := sorted(refs.intersection(known))) > 1:
        raise Failure(f"--against {revision}: that is {' and '.join(both)}; write the one that is meant in full")
    found = _git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return found.decode("ascii", "replace").strip() if found is not None else None


def _no_such_revision(path: Path, against: str) -> str:
    """Why there is nothing to compare with."""
    if not against or not against.isprintable() or against.startswith("-") or ":" in against:
        return f"--against {against!r}: is neither a file nor a git revision, such as origin/main or v1.2"
    if _git(path, "rev-parse", "--git-dir") is None:
        return f"--against {against}: there is no such file, and {path} is in no git repository that git will read"
    return (
        f"--against {against}: there is no such file, and no such git revision here; "
        "a revision of another branch has to be fetched first (in GitHub's checkout: fetch-depth: 0)"
    )


def _policy_at(path: Path, revision: str, commit: str) -> Policy:
    """The same file as it was at a commit."""
    where = f"{path} at {revision}"
    data = _git(path, "show", "--no-textconv", f"{commit}:./{_git_location(path)[1]}")
    if data is None:
        raise Failure(f"{where}: the file is not in that revision, so there is nothing to compare with")
    if len(data) > MAX_BYTES:
        raise Failure(f"{where}: is longer than {MAX_BYTES} bytes")
    try:
        return Policy.from_mapping(tomllib.loads(data.decode()))
    except ConfigurationError as error:
        raise Failure(*(f"{where}: {fault}" for fault in error.faults)) from None
    # Not UTF-8 and a number of thousands of digits are a ValueError, arrays nested as deep a RecursionError.
    except (ValueError, RecursionError) as error:
        raise Failure(f"{where}: not TOML: {error}") from None


def _git_location(path: Path) -> tuple[Path, str]:
    """The folder in which git is asked, and what the policy is called there."""
    here, whole = Path.cwd(), Path(os.path.abspath(path))  # noqa: PTH100 - links are not followed
    # INVARIANT: what lies between is part of the change, and may be a link or a repository of its own.
    inside = whole.is_relative_to(here) and any((each / ".git").exists() for each in (here, *here.parents))
    return (here, whole.relative_to(here).as_posix()) if inside else (whole.parent, whole.name)


def _git(path: Path, *words: str) -> bytes | None:
    """What git says in the policy's folder; None where it fails. There is no shell in between."""
    try:
        done = subprocess.run(  # noqa: S603 - every word that comes from outside was looked at
            ["git", "--no-pager", "-c", "safe.bareRepository=explicit", *words],  # noqa: S607 - the developer's own git
            cwd=_git_location(path)[0],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _counts(found: Policy) -> dict[str, int]:
    return {
        "permissions": len(found.catalogue),
        "retired": sum(entry.retired for entry in found.catalogue.values()),
        "roles": len(found.roles),
        "audiences": len(found.audiences),
        "clients": len(found.clients),
    }


def _print_result(
    found: Policy, other: ComparedPolicy | None, changes: PolicyDiff, lines: Mapping[KeyPath, int]
) -> None:
    counts = _counts(found)
    parts = [count(counts[noun], noun[:-1]) for noun in ("permissions", "roles", "audiences", "clients")]
    parts[0] += f" ({counts['retired']} retired)" if counts["retired"] else ""
    say(f"{found.path}: {', '.join(parts)}; digest {found.digest[:12]}")
    if other is None:
        return
    say(text(f"compared with the {other.kind} {other.name}, digest {other.policy.digest[:12]}", DIM))
    for part, title, style in _SECTIONS:
        _print_changes(title, style, getattr(changes, part), found, lines)
    if not changes.allowed and not changes.broken:
        say(text("allows nothing more", OK))


def _print_changes(
    title: str, style: str, changes: Sequence[PolicyChange], found: Policy, lines: Mapping[KeyPath, int]
) -> None:
    if not changes:
        return
    say(text(title, style))
    grid([(text(f"  {found.path}:{line_of(lines, each.place)}"), text(each.text)) for each in changes], fixed=1)


def _as_json(
    found: Policy, other: ComparedPolicy | None, changes: PolicyDiff, lines: Mapping[KeyPath, int]
) -> dict[str, object]:
    """Everything, for another program. `line` is that of the nearest key around `place` that the file has."""
    return {
        "policy": found.path,
        "digest": found.digest,
        "counts": _counts(found),
        "against": other and {"kind": other.kind, "name": other.name, "digest": other.policy.digest},
        **{
            part: [
                {"line": line_of(lines, each.place), "place": list(each.place), "text": each.text}
                for each in getattr(changes, part)
            ]
            for part, _, _ in _SECTIONS
        },
    }
