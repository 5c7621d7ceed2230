"""The command `jwt-lp console`."""

from __future__ import annotations

import errno
import getpass
import socket
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import OK, Failure, say, text
from jwt_lp.cli.people import load_people
from jwt_lp.cli.row_input import default_issuer, subject_naming
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.policy.file import EMPTY_POLICY

if TYPE_CHECKING:
    from jwt_lp.console.local import LocalConsole
    from jwt_lp.guard.settings import Settings
    from jwt_lp.stores import Store

_LOOPBACK: Final = "127.0.0.1"
_NEEDED: Final = frozenset({"starlette", "jinja2", "sqlalchemy", "uvicorn", "python_multipart"})
# Imported later than the console, but a page is too late to miss them.
_SERVING: Final = ("uvicorn", "python_multipart")
_GRACE: Final = 2


@click.command(short_help="Open the console: decide about access in a browser.")
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE",
    help="The policy file, which plans change. Default: POLICY in the settings.",
)
@click.option(
    "--people",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Persons by subject: CSV with subject,name,team,manager,active,left.",
)
@click.option("--issuer", metavar="ISS", help="The issuer of the subjects in --people.")
@click.option(
    "--plans",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="The folder of plan files; it is created if needed. Without it plans can be read, not applied.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port on loopback; 0 takes a free one.",
)
@click.option("--open/--no-open", "opens", default=True, help="Open the link in your browser, or only print it.")
@store_options
@click.pass_context
def console(ctx: click.Context, /, **options: Any) -> None:
    """Open the console on this machine: campaigns, decisions, plans, elevations, revocations and the audit trail.

    It answers on loopback only, and stops with Ctrl-C. You sign in by a link that works once, within five minutes; press
    Enter for another one. You act as the operator of the store, under the name of your account here. To let managers
    decide in it, mount it in an application: jwt_lp.console.create_console.

    \b
      jwt-lp console --store sqlite:///jwt-lp.db --policy least-privilege.toml --people people.csv --plans plans
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    with place.open(settings) as store, _listen(options["port"]) as listener:
        _require_tables(store)
        _serve(_make(store, settings, options), listener, opens=options["opens"])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_LOOPBACK, port))
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise Failure(f"port {port} {reason}: pass another --port, or 0 for a free one") from None


def _require_tables(store: Store) -> None:
    """An error now rather than on each page, with what to do."""
    scheme, _, file = store.name.partition(":///")
    # Other commands take a missing file for a store without rows. Here that would be a console without anything.
    if scheme == "sqlite" and not (Path(file).exists() and Path(file).stat().st_size):
        raise Failure(f"{store.name}: there is no store; jwt-lp store migrate --store {store.name} creates it")
    store.heartbeats(since=time.time())


def _make(store: Store, settings: Settings | None, options: dict[str, Any]) -> LocalConsole:
    try:
        from jwt_lp.console.local import create_local_console

        for name in _SERVING:
            import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        raise Failure(f'the console needs {missing}: pip install "jwt-lp[console]"') from None
    file = options["policy_file"]
    issuer = options["issuer"] or default_issuer(None, settings)
    names, people = subject_naming(settings), options["people"]
    plans = Path(options["plans"]) if options["plans"] else None
    if plans is not None:
        plans.mkdir(parents=True, exist_ok=True)
    configured = settings.policy if settings is not None else EMPTY_POLICY
    return create_local_console(
        store,
        operator=getpass.getuser(),
        policy=Path(file) if file else configured,
        people=load_people(people, lambda subject: names(issuer, subject)) if people else {},
        issuer_names={} if settings is None else {each.issuer: each.name for each in settings.issuers},
        plans=plans,
        settings=settings,
    )


def _serve(local: LocalConsole, listener: socket.socket, *, opens: bool) -> None:
    import uvicorn

    port = listener.getsockname()[1]
    config = uvicorn.Config(
        local.console,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    server = uvicorn.Server(config)
    link = local.link(port)
    say("The console runs on this machine. Open this link within five minutes; it works once:")
    say(text(link, OK))
    interactive = sys.stdin is not None and sys.stdin.isatty()
    say("Press Enter for another link, and Ctrl-C to stop." if interactive else "Stop it with Ctrl-C.")
    sys.stdout.flush()
    if interactive:
        threading.Thread(target=_print_links, args=(local, port), daemon=True).start()
    if opens:
        # A browser in the terminal would take the terminal over.
        threading.Thread(target=_open, args=(link,), daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    say("The console has stopped.")


def _print_links(local: LocalConsole, port: int) -> None:
    for _ in sys.stdin:
        say(text(local.link(port), OK))


def _open(link: str) -> None:
    with suppress(webbrowser.Error):
        webbrowser.open(link)
