"""The command `jwt-lp campaign audit`: the audit trail shown, exported and verified."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.campaigns import Campaigns, export_audit, verify_audit, verify_audit_file
from jwt_lp.cli.campaign_place import find_campaign, take_place
from jwt_lp.cli.campaign_view import print_trail
from jwt_lp.cli.output import OK, CheckFailed, Failure, say, text
from jwt_lp.cli.row_input import open_file, prefix_faults
from jwt_lp.cli.store import format_option, store_options
from jwt_lp.review.plan.policy_editor import check_place
from jwt_lp.review.quantities import count_noun
from jwt_lp.stores.audit import AuditFilter

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TextIO

    from jwt_lp.campaigns import VerifiedTrail

_OF_STORE: Final = "the store"


@click.command(short_help="Show, export or verify the audit trail.")
@click.option("--verify", is_flag=False, flag_value=_OF_STORE, metavar="[FILE]",
              help="Check that no entry was changed, deleted or moved: in the store, or in an exported FILE.")  # fmt: skip
@click.option(
    "--head", metavar="HASH", help="With --verify: the hash of an entry that has to be there, as you kept it elsewhere."
)
@click.option("--export", type=click.Path(dir_okay=False), metavar="FILE", help="Write all entries as JSON lines.")
@click.option("--campaign", "named", metavar="CAMPAIGN", help="Only the entries of this campaign.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="Show so many entries, the newest."
)
@format_option
@store_options
@click.pass_context
def audit(ctx: click.Context, /, **options: Any) -> None:
    """Show who did what: freezing, decisions, assignments, reminders, closing, and what the console changes.

    Each entry names the hash of the one before it. --verify recomputes them all, and exit code 1 says that an entry does
    not fit, and which is the first. Keep the last hash that it prints outside the store: whoever can write to the tables
    could make a whole new chain.

    \b
      jwt-lp campaign audit --verify
      jwt-lp campaign audit --export trail.jsonl
      jwt-lp campaign audit --verify trail.jsonl --head 3f5c...
    """  # noqa: D301 - a real backspace is what click looks for
    verified, head, exported = options.pop("verify"), options.pop("head"), options.pop("export")
    if verified is not None and exported is not None:
        raise click.UsageError("--verify and --export exclude each other: pass one")
    if head is not None and verified is None:
        raise click.UsageError("--head needs --verify")
    if verified is not None and verified != _OF_STORE:
        _verify_file(verified, head)
        return
    named, limit, form = (options.pop(each) for each in ("named", "limit", "form"))
    place = take_place(options)
    with place.open(place.settings(ctx)) as store:
        campaign = None if named is None else find_campaign(Campaigns(store, None), named).id
        if verified is not None:
            _report(verify_audit(store, head=head or ""))
        elif exported is not None:
            with _private_file(exported) as file:
                number = export_audit(store, file, campaign=campaign)
            say(text(f"{exported}: {count_noun(number, 'entry')} written", OK))
        else:
            newest = store.audit_entries(AuditFilter(campaign=campaign, limit=limit, newest_first=True))
            print_trail(reversed([*newest]), form)


def _verify_file(name: str, head: str | None) -> None:
    with open_file(name) as opened, prefix_faults(opened.name):
        _report(verify_audit_file(opened.lines(), head=head or ""))


def _report(found: VerifiedTrail) -> None:
    if found.broken is not None:
        raise CheckFailed(f"the audit trail is not as it was written: {found.broken}")
    last = f"; last hash {found.hash}" if found.hash else ""
    say(text(f"the audit trail is whole: {count_noun(found.entries, 'entry')}", OK), last)


@contextmanager
def _private_file(name: str) -> Generator[TextIO]:
    """A file that appears when it is complete, and that only its owner may read: it names people."""
    check_place(name)
    target, temporary = Path(os.path.realpath(name)), ""
    try:
        # INVARIANT: a new file with a name that nobody can guess, so no link of somebody else's is written through.
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            yield file
        Path(temporary).replace(target)
    except OSError as error:
        raise Failure(f"{name} cannot be written: {error.strerror}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
