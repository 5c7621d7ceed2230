"""The command `jwt-lp migrate`: from the library that a project has to the guard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from jwt_lp.cli.migration.patch import patch
from jwt_lp.cli.migration.sources import Unread, read_sources, replace_source
from jwt_lp.cli.output import DIM, count, notices, say, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.cli.migration.project import Migration

_NEEDS: Final = 'this command needs libcst: pip install "jwt-lp[migrate]"'


@click.command(short_help="Print the patch from another library to jwt-lp.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help="Change the files instead of printing the patch.")
@click.pass_context
def migrate(ctx: click.Context, path: Path, *, write: bool) -> None:
    """Print what would change in a project that uses another library for tokens, as a unified patch.

    PATH is a folder or a file. The libraries are djangorestframework-simplejwt, django-oauth-toolkit,
    Flask-JWT-Extended, Auth0's SDK for FastAPI, and a dependency of your own on FastAPI's OAuth2PasswordBearer.

    \b
      jwt-lp migrate shop                     the patch; below it, on standard error, what a person must decide
      jwt-lp migrate shop | git apply         if shop is the current folder's repository
      jwt-lp migrate shop --write

    The patch has only what follows from the code: settings, decorators, permission classes. It opens no view. A view
    that the library did not guard gets no declaration, and is refused until a person declares it. The patch removes
    checks of the library where the guard makes them, so do not observe (OBSERVE_UNTIL) while you apply it.

    Nothing outside PATH is read or written, symbolic links included. The exit code is 0 if there is nothing to change
    and nothing to decide, 1 if there is, and 2 if a file cannot be read or written.
    """  # noqa: D301 - a real backspace is what click looks for
    try:
        from jwt_lp.cli.migration.project import migrate as migrate_sources
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "libcst":
            raise
        raise click.UsageError(_NEEDS) from None
    sources, unread = read_sources(path)
    migrations, unparsed = migrate_sources(sources)
    unread += unparsed
    changed = [migration for migration in migrations if migration.data != migration.source.data]
    if write:
        for migration in changed:
            try:
                replace_source(migration.source, migration.data)
            except OSError as error:
                unread.append(Unread(migration.source.name, f"not written: {error.strerror or error}"))
        # The lines that a person looks for are those of the files as they are now.
        migrations, _ = migrate_sources(read_sources(path)[0])
    else:
        _print_patch(changed)
    _print_decisions(migrations, unread)
    verb = "changed" if write else "to change"
    decisions = sum(len(migration.decisions) for migration in migrations)
    say(f"{count(len(changed), 'file')} {verb}, {count(decisions, 'decision')} left to you", err=True)
    ctx.exit(2 if unread else 1 if migrations else 0)


def _print_patch(changed: Sequence[Migration]) -> None:
    for migration in changed:
        # Bytes, in the file's own encoding and with its line ends.
        click.echo(patch(migration.source.name, migration.source.data, migration.data), nl=False)


def _print_decisions(migrations: Sequence[Migration], unread: Sequence[Unread]) -> None:
    for migration in migrations:
        for decision in migration.decisions:
            place = text(f"{migration.source.name}:{decision.line}: ", DIM)
            say(place, decision.text, err=True)
    notices((f"{each.name}: {each.why}" for each in unread), err=True)
