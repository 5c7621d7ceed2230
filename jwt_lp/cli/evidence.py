"""The commands `jwt-lp evidence`: a signed file of what was decided and done."""

from __future__ import annotations

import getpass
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp.cli.keys import keys_option
from jwt_lp.cli.output import DIM, OK, CheckFailed, Failure, brief, grid, moment, notices, say, text
from jwt_lp.errors import ConfigurationError
from jwt_lp.jose.http_fetch import FetchError, fetch_json
from jwt_lp.jose.jwk import public_thumbprint
from jwt_lp.jose.jws import read_json
from jwt_lp.jose.key_rotation import KeyRing
from jwt_lp.review.evidence_file import MAX_BYTES, EvidenceFile, read_evidence, sign_entry, trusted_thumbprints
from jwt_lp.review.plan import Plan, journal_path, read_bytes, read_status, write_atomically
from jwt_lp.review.report.evidence_page import render_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jwt_lp.review.evidence_file import Step

_LOCK_SECONDS: Final = 10.0
_SHOWN: Final = 12


@click.group(short_help="Keep signed evidence of a review.")
def evidence() -> None:
    """Keep signed evidence of a review: decisions, plan, application and verification in one file."""


def _step_options(command: Callable[..., object]) -> Callable[..., object]:
    for option in (
        keys_option,
        click.option("--by", metavar="NAME", help="Who adds it. Default: the user of this process."),
        click.option(
            "--verification", metavar="FILE", help="The output of jwt-lp verify PLAN --format json, in a file."
        ),
        click.option("--journal", metavar="FILE", help="The journal of a plan that was applied."),
    ):
        command = option(command)
    return command


@evidence.command(short_help="Begin an evidence file.")
@click.argument("file", metavar="FILE")
@click.argument("worksheets", metavar="[WORKSHEET]...", nargs=-1)
@click.option("--plan", "plan", metavar="PLAN", required=True, help="The plan that was made from the worksheets.")
@_step_options
def create(file: str, worksheets: tuple[str, ...], plan: str, **options: Any) -> None:
    """Begin the evidence FILE with the decisions in the worksheets and the plan. A journal beside the plan is added too.

    \b
      jwt-lp evidence create quarter.evidence decide.csv --plan quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    if Path(file).exists():
        raise Failure(f"{brief(file)} is there already: add to it with jwt-lp evidence add")
    journal = options.pop("journal") or (str(journal_path(plan)) if journal_path(plan).exists() else None)
    steps: list[tuple[Step, tuple[str, ...]]] = [("decisions", worksheets), ("plan", (plan,))]
    _add(file, [*steps, *_named_steps(journal, options.pop("verification"))], **options)


@evidence.command(short_help="Add to an evidence file.")
@click.argument("file", metavar="FILE")
@click.option("--close", is_flag=True, help="Close it: nothing can be added or dropped afterwards.")
@_step_options
def add(file: str, *, close: bool, journal: str | None, verification: str | None, **options: Any) -> None:
    """Add the journal of the application, or its verification, to the evidence FILE, and close it at the end.

    \b
      jwt-lp verify quarter.plan --format json > verified.json
      jwt-lp evidence add quarter.evidence --journal quarter.plan.journal --verification verified.json --close
    """  # noqa: D301 - a real backspace is what click looks for
    steps = _named_steps(journal, verification)
    if close:
        steps.append(("closing", ()))
    if not steps:
        raise click.UsageError("what is to be added? pass --journal, --verification or --close")
    read_bytes(file)
    _add(file, steps, **options)


@evidence.command(short_help="Verify an evidence file.")
@click.argument("file", metavar="FILE")
@click.option("--thumbprint", "thumbprints", multiple=True, metavar="SHA256", help="A key that may have signed it.")
@click.option("--jwks", metavar="FILE|URL", help="The key set whose keys may have signed it.")
@click.option("--head", metavar="SHA256", help="The digest of the last entry, as it was told when it was added.")
def verify(file: str, thumbprints: tuple[str, ...], jwks: str | None, head: str | None) -> None:
    """Verify each entry of the evidence FILE: its signature, its place, and that nothing was dropped.

    The keys must be known from elsewhere, because whoever makes a file of their own signs it with a key of their own.
    The exit code is 1 if anything is wrong, if the file is not closed and no --head is given.

    \b
      jwt-lp evidence verify quarter.evidence --jwks https://login.example.com/.well-known/jwks.json
    """  # noqa: D301 - a real backspace is what click looks for
    if not thumbprints and jwks is None:
        raise click.UsageError("whose key is it? pass --thumbprint or --jwks, known from elsewhere than the file")
    published: frozenset[str] = _published(jwks) if jwks is not None else frozenset()
    trusted = published.union(thumbprints)
    try:
        found = _read(file, trusted)
    except ConfigurationError as error:
        raise CheckFailed(*(f"{brief(file)}: {fault}" for fault in error.faults)) from None
    if head is not None and head != found.head:
        raise CheckFailed(
            f"{brief(file)}: the last entry is {found.head}, not {brief(head)}: entries were dropped or added"
        )
    _show(found)
    if not found.is_closed and head is None:
        notices(["it is not closed: later entries may have been dropped; pass --head, or close it"])
        raise CheckFailed(f"{brief(file)} cannot be shown to be complete")
    complete = "complete" if found.is_closed else "up to the given head"
    say(text(f"{brief(file)}: unchanged and {complete}", OK))


@evidence.command(short_help="Write a page that verifies itself in the browser.")
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", metavar="PAGE", required=True, help="The HTML file.")
def page(file: str, output: str) -> None:
    """Write the evidence FILE as one HTML page, which shows the decisions and verifies itself in the browser.

    \b
      jwt-lp evidence page quarter.evidence -o quarter.html
    """  # noqa: D301 - a real backspace is what click looks for
    found = _read(file, None)
    write_atomically(output, render_evidence(_lines(file)).encode(), mode=0o600)
    say(text(output, "bold"), f": {len(found.entries)} entries, signed by {' '.join(found.thumbprints)}")


def _named_steps(journal: str | None, verification: str | None) -> list[tuple[Step, tuple[str, ...]]]:
    named: tuple[tuple[Step, str | None], ...] = (("journal", journal), ("verification", verification))
    return [(step, (name,)) for step, name in named if name is not None]


def _add(file: str, steps: list[tuple[Step, tuple[str, ...]]], *, folder: str, by: str | None) -> None:
    """Sign the steps and append them: all of them, or none."""
    with _faults_of(file), hold_lock(lock_path(file), brief(file), wait=_LOCK_SECONDS):
        data = b"".join(_lines(file)) if Path(file).exists() else b""
        ring = KeyRing(folder)
        found = _parse(data, None) if data else None
        author = by or getpass.getuser()
        for step, names in steps:
            contents = _contents(names)
            _check_step(step, names, found)
            line = sign_entry(found, step, contents, ring.current, at=time.time(), by=author)
            data += line.encode()
            found = _parse(data, None)
        if len(data) > MAX_BYTES:
            raise Failure(f"{brief(file)} would be longer than {MAX_BYTES} bytes: nothing was added")
        write_atomically(file, data, mode=0o600)
    if found is not None:
        _show(found)
        say(f"head {found.head}; signed by {public_thumbprint(ring.current.public_jwk())}")
        say(text("tell both to the auditor by another way than this file", DIM))


def _check_step(step: Step, names: tuple[str, ...], before: EvidenceFile | None) -> None:
    """`Failure` for a journal or a verification of another plan; `ConfigurationError` for a plan that was changed."""
    for name in names if step == "plan" else ():
        Plan.decode(_text(name))
    if before is None:
        return
    written = (text for entry in before.entries if entry.step == "plan" for text in entry.files.values())
    plans = [Plan.decode(text) for text in written]
    for name in names if step == "journal" else ():
        intent = read_status(Path(name)).intent
        if intent is None or intent.plan not in {plan.hash for plan in plans}:
            raise Failure(f"{brief(name)} is not the journal of the plan in the evidence")
    for name in names if step == "verification" else ():
        if not _verified_items(name) <= {item.id for plan in plans for item in plan.items}:
            raise Failure(f"{brief(name)} is not the verification of the plan in the evidence")


def _verified_items(name: str) -> set[str]:
    """The ids of the items in the output of `jwt-lp verify`."""
    try:
        return {str(outcome["id"]) for outcome in json.loads(_text(name))}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Failure(f"{brief(name)} is not the output of jwt-lp verify PLAN --format json") from None


def _contents(names: tuple[str, ...]) -> dict[str, str]:
    """The files by their names without folders; `Failure` for two of one name, because the evidence would lose one."""
    contents: dict[str, str] = {}
    for name in names:
        if Path(name).name in contents:
            raise Failure(f"two files are named {brief(Path(name).name)}: rename one of them")
        contents[Path(name).name] = _text(name)
    return contents


def _show(found: EvidenceFile) -> None:
    headers = ("", "STEP", "AT", "BY", "FILES", "SIGNED BY")
    grid(
        [
            (
                text(entry.number),
                text(entry.step),
                text(moment(entry.at)),
                text(brief(entry.by)),
                text(", ".join(map(brief, entry.files))),
                text(f"{entry.thumbprint[:_SHOWN]}...", DIM),
            )
            for entry in found.entries
        ],
        headers,
        fixed=1,
    )


def _read(file: str, trusted: frozenset[str] | None) -> EvidenceFile:
    return read_evidence(_lines(file), trusted)


def _parse(data: bytes, trusted: frozenset[str] | None) -> EvidenceFile:
    return read_evidence(data.splitlines(keepends=True), trusted)


def _lines(file: str) -> list[bytes]:
    data = read_bytes(file)
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"it is longer than {MAX_BYTES} bytes")
    return data.splitlines(keepends=True)


def _text(name: str) -> str:
    try:
        return read_bytes(name).decode()
    except UnicodeDecodeError:
        raise Failure(f"{brief(name)} is not UTF-8") from None


def _published(jwks: str) -> frozenset[str]:
    """The thumbprints of a key set in a file or at an address."""
    try:
        if jwks.startswith(("https://", "http://")):
            return trusted_thumbprints(fetch_json(jwks).document)
        return trusted_thumbprints(read_json(read_bytes(jwks), "key set"))
    except FetchError as error:
        raise Failure(f"{brief(jwks)}: {error}") from None


@contextmanager
def _faults_of(file: str) -> Generator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise Failure(*(f"{brief(file)}: {fault}" for fault in error.faults)) from None
