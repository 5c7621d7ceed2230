"""The command `jwt-lp policy check`: faults of the policy file, and what a change to it allows."""

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
from jwt_lp.policy.file import Policy
from jwt_lp.policy.schema import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp._support.toml_lines import KeyPath
    from jwt_lp.policy.diff import PolicyChange

_DEFAULT_PATH: Final = "least-privilege.toml"
_SECTIONS: Final = (
    ("broken", "the catalogue may only grow at its end:", ERROR),
    ("allowed", "allows more:", WARNING),
    ("narrowed", "allows less:", DIM),
)


@dataclass(frozen=True, slots=True)
class ComparedPolicy:
    """The policy to compare with: `kind` is "file" or "revision"."""

    kind: str
    name: str
    policy: Policy


@click.group(short_help="Check the policy file, and show what a change to it allows.")
def policy() -> None:
    """Check the policy file, and show what a change to it allows."""


@policy.command(short_help="Check the policy file; with --against, show what it newly allows.")
@click.argument("path", metavar="[POLICY]", default=_DEFAULT_PATH)
@click.option(
    "--against",
    metavar="REV_OR_FILE",
    help="The policy to compare with: another file, or a git revision of this one, such as origin/main.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
@click.pass_context
def check(ctx: click.Context, path: str, against: str | None, form: str) -> None:
    """Check POLICY (default: least-privilege.toml) for faults; with --against, show what a change allows.

    The comparison lists, with line numbers, each change of the catalogue that gives a position in live tokens another
    meaning, everything that is newly allowed, and everything that is no longer allowed.

    \b
      jwt-lp policy check
      jwt-lp policy check --against origin/main
      jwt-lp policy check deploy/least-privilege.toml --against before.toml --format json

    The exit code is 0 if nothing is newly allowed, 1 if something is or if the catalogue was changed anywhere but at
    its end, and 2 if the file has faults or there is nothing to compare it with.
    """  # noqa: D301 - a real backspace is what click looks for
    if not Path(path).exists():
        raise Failure(f"there is no file {path}; give its path: jwt-lp policy check PATH")
    loaded = Policy.load(path)
    compared = None if against is None else _load_compared(Path(path), against)
    changes = PolicyDiff() if compared is None else diff_policies(compared.policy, loaded)
    lines = locate_keys(read_toml(path, MAX_BYTES)[1])
    if form == "json":
        emit(_as_json(loaded, compared, changes, lines))
    else:
        _print_result(loaded, compared, changes, lines)
    ctx.exit(1 if changes.broken or changes.allowed else 0)


def _load_compared(path: Path, against: str) -> ComparedPolicy:
    commit = _commit(path, against)
    if not Path(against).is_file():
        if commit is None:
            raise Failure(_no_such_revision(path, against))
        return ComparedPolicy("revision", against, _policy_at(path, against, commit))
    # The author of a change could add a file with the name of a revision, to be compared with that file.
    if commit is not None:
        raise Failure(f"--against {against}: a file and a git revision have that name; write ./{against} for the file")
    return ComparedPolicy("file", against, Policy.load(against))


def _commit(path: Path, revision: str) -> str | None:
    """The commit that `revision` names in the policy's repository; None if there is none."""
    # An empty revision would mean the index, and a leading dash an option.
    if not revision or not revision.isprintable() or revision.startswith("-") or ":" in revision:
        return None
    name = re.split(r"[~^@]", revision)[0]
    refs = {f"{kind}/{name}" for kind in ("refs", "refs/tags", "refs/heads", "refs/remotes")}
    existing = (
        (_git(path, "for-each-ref", "--format=%(refname)", *sorted(refs)) or b"").decode("utf-8", "replace").split()
    )
    # INVARIANT: a tag never takes the place of a branch with the same name.
    if len(matches := sorted(refs.intersection(existing))) > 1:
        raise Failure(f"--against {revision}: it names {' and '.join(matches)}; write the full name of one")
    output = _git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return output.decode("ascii", "replace").strip() if output is not None else None


def _no_such_revision(path: Path, against: str) -> str:
    """The message for a revision that does not exist."""
    if not against or not against.isprintable() or against.startswith("-") or ":" in against:
        return f"--against {against!r}: is neither a file nor a git revision, such as origin/main or v1.2"
    if _git(path, "rev-parse", "--git-dir") is None:
        return f"--against {against}: there is no such file, and {path} is not in a git repository that git can read"
    return (
        f"--against {against}: there is no such file, and no such git revision here; "
        "fetch a revision of another branch first (in GitHub's checkout: fetch-depth: 0)"
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
    # ValueError: not UTF-8, or a number with thousands of digits. RecursionError: deeply nested arrays.
    except (ValueError, RecursionError) as error:
        raise Failure(f"{where}: not TOML: {error}") from None


def _git_location(path: Path) -> tuple[Path, str]:
    """The folder in which git runs, and the policy's path from there."""
    here, absolute = Path.cwd(), Path(os.path.abspath(path))  # noqa: PTH100 - links are not followed
    # INVARIANT: git runs in the current folder if the policy is below it. A folder in between is part of the change,
    # and may be a link or another repository.
    inside = absolute.is_relative_to(here) and any((folder / ".git").exists() for folder in (here, *here.parents))
    return (here, absolute.relative_to(here).as_posix()) if inside else (absolute.parent, absolute.name)


def _git(path: Path, *words: str) -> bytes | None:
    """The output of git in the policy's folder; None if it fails. No shell is used."""
    try:
        result = subprocess.run(  # noqa: S603 - every word from outside was checked
            ["git", "--no-pager", "-c", "safe.bareRepository=explicit", *words],  # noqa: S607 - the developer's own git
            cwd=_git_location(path)[0],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return result.stdout if result.returncode == 0 else None


def _counts(policy: Policy) -> dict[str, int]:
    return {
        "permissions": len(policy.catalogue),
        "retired": sum(entry.retired for entry in policy.catalogue.values()),
        "roles": len(policy.roles),
        "audiences": len(policy.audiences),
        "clients": len(policy.clients),
        "elevation": len(policy.elevation),
    }


def _print_result(
    policy: Policy, compared: ComparedPolicy | None, changes: PolicyDiff, lines: Mapping[KeyPath, int]
) -> None:
    counts = _counts(policy)
    parts = [count(counts[noun], noun[:-1]) for noun in ("permissions", "roles", "audiences", "clients")]
    parts[0] += f" ({counts['retired']} retired)" if counts["retired"] else ""
    parts += [count(counts["elevation"], "elevation rule")] if counts["elevation"] else []
    say(f"{policy.path}: {', '.join(parts)}; digest {policy.digest[:12]}")
    if compared is None:
        return
    say(text(f"compared with the {compared.kind} {compared.name}, digest {compared.policy.digest[:12]}", DIM))
    for part, title, style in _SECTIONS:
        _print_changes(title, style, getattr(changes, part), policy, lines)
    if not changes.allowed and not changes.broken:
        say(text("allows nothing more", OK))


def _print_changes(
    title: str, style: str, changes: Sequence[PolicyChange], policy: Policy, lines: Mapping[KeyPath, int]
) -> None:
    if not changes:
        return
    say(text(title, style))
    grid([(text(f"  {policy.path}:{line_of(lines, change.place)}"), text(change.text)) for change in changes], fixed=1)


def _as_json(
    policy: Policy, compared: ComparedPolicy | None, changes: PolicyDiff, lines: Mapping[KeyPath, int]
) -> dict[str, object]:
    """The result as JSON. `line` is that of the nearest key around `place` that the file has."""
    return {
        "policy": policy.path,
        "digest": policy.digest,
        "counts": _counts(policy),
        "against": compared and {"kind": compared.kind, "name": compared.name, "digest": compared.policy.digest},
        **{
            part: [
                {"line": line_of(lines, change.place), "place": list(change.place), "text": change.text}
                for change in getattr(changes, part)
            ]
            for part, _, _ in _SECTIONS
        },
    }
