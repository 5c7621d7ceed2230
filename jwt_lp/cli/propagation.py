"""Announcing a change to services, and waiting until every process has it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from jwt_lp.cli.output import DIM, ERROR, OK, brief, grid, notices, say, text
from jwt_lp.errors import StoreError
from jwt_lp.revocation.poller import POLL_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from jwt_lp.stores import ProcessHeartbeat, Store

PUSH_VARIABLE: Final = "JWT_LP_PUSH"
DEFAULT_WAIT: Final = 30.0
_ALIVE_WITHIN: Final = 60.0
_CHECK_INTERVAL: Final = 0.5

push_option: Final = click.option(
    "--push",
    metavar="URL",
    envvar=PUSH_VARIABLE,
    help=f"The Redis for push messages, redis://host:6379/0. Default: {PUSH_VARIABLE}, or PUSH in the settings.",
)
wait_option: Final = click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    is_flag=False,
    flag_value=DEFAULT_WAIT,
    metavar="[SECONDS]",
    help="Wait until every process that reported in the last minute has the change, at most SECONDS "
    f"({DEFAULT_WAIT:.0f} if left out).",
)


def check_push_url(url: str | None) -> None:
    """`ConfigurationError` if no push could be sent. Call it before anything is written."""
    if url:
        from jwt_lp.stores.push import check_url

        check_url(url)


def announce(store: Store, sequence: int, push: str | None) -> None:
    """Push the change if there is a Redis, and print when services have it."""
    outlook = f"services poll every {POLL_INTERVAL:.0f} s and have it by then"
    if push:
        from jwt_lp.stores.push import announce

        try:
            receivers = announce(push, sequence)
        except StoreError as error:
            # The entry was written, so the command has succeeded.
            notices([str(error)], err=True)
        else:
            processes = "1 process" if receivers == 1 else f"{receivers} processes"
            outlook = f"pushed to {processes}; others poll every {POLL_INTERVAL:.0f} s"
    say(text(f"sequence {sequence}: {outlook}", DIM))
    if not store.heartbeats(since=time.time() - _ALIVE_WITHIN):
        notices(
            [f"{store.name}: no service reported in the last minute; check that they have this store in STORE"],
            err=True,
        )


def wait_until_known(
    store: Store,
    sequence: int,
    limit: float,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait up to `limit` seconds until every live process has the change, and list them; False if some have not."""
    end = monotonic() + limit
    while True:
        beats = store.heartbeats(since=clock() - _ALIVE_WITHIN)
        done = bool(beats) and all(beat.sequence >= sequence for beat in beats)
        remaining = end - monotonic()
        if done or remaining <= 0:
            break
        sleep(min(_CHECK_INTERVAL, remaining))
    grid(
        [_row(beat, sequence, clock()) for beat in beats], ("", "PROCESS", "SERVICE", "SEQUENCE", "LAST SEEN"), fixed=1
    )
    if done:
        say(text(f"all of {len(beats)} have it", OK))
    elif not beats:
        say(text("no process reported, so none is known to have it", ERROR))
    else:
        behind = sum(beat.sequence < sequence for beat in beats)
        say(text(f"{behind} of {len(beats)} had not reported it after {limit:g} s", ERROR))
    return done


def _row(beat: ProcessHeartbeat, sequence: int, now: float) -> tuple[Text, ...]:
    ok = beat.sequence >= sequence
    return (
        text("ok" if ok else "!!", OK if ok else ERROR),
        text(f"{brief(beat.host)} {beat.pid}"),
        text(brief(beat.service)),
        text(beat.sequence),
        text(f"{max(now - beat.at, 0):.0f} s ago"),
    )
