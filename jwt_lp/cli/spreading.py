"""Who knows of it already?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from jwt_lp.cli.output import BAD, FAINT, GOOD, brief, grid, notices, say, text
from jwt_lp.errors import StoreError
from jwt_lp.revocation import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from jwt_lp.stores import Beat, Store

PUSH_VARIABLE: Final = "JWT_LP_PUSH"
WAIT: Final = 30.0
_HEARD: Final = 60.0
_AGAIN: Final = 0.5

push_option: Final = click.option(
    "--push",
    metavar="URL",
    envvar=PUSH_VARIABLE,
    help=f"The Redis that services listen to, redis://host:6379/0. Default: {PUSH_VARIABLE}, or the settings' PUSH.",
)
wait_option: Final = click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    is_flag=False,
    flag_value=WAIT,
    metavar="[SECONDS]",
    help=f"Wait until every process that was heard of in the last minute has it, {WAIT:.0f} s at most if not said.",
)


def usable_push(url: str | None) -> None:
    """`ConfigurationError` where no push could be sent, before anything is written."""
    if url:
        from jwt_lp.stores.push import usable

        usable(url)


def spread(store: Store, sequence: int, push: str | None) -> None:
    """Say when everybody has it; where there is a Redis, tell them now."""
    soon = f"services poll every {PAUSE:.0f} s and have it by then"
    if push:
        from jwt_lp.stores.push import announce

        try:
            heard = announce(push, sequence)
        except StoreError as error:
            # What was written stands, so that is no failure of the command.
            notices([str(error)], err=True)
        else:
            soon = f"pushed to {heard} {'process' if heard == 1 else 'processes'}; others poll every {PAUSE:.0f} s"
    say(text(f"sequence {sequence}: {soon}", FAINT))
    if not store.beats(since=time.time() - _HEARD):
        notices(
            [f"{store.name}: no service was heard of in the last minute; is this the store that they have in STORE?"],
            err=True,
        )


def reached(
    store: Store,
    sequence: int,
    limit: float,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until every process that is alive has the change, and show who has; False where some have not in time."""
    end = monotonic() + limit
    while True:
        beats = store.beats(since=clock() - _HEARD)
        done = bool(beats) and all(beat.sequence >= sequence for beat in beats)
        left = end - monotonic()
        if done or left <= 0:
            break
        sleep(min(_AGAIN, left))
    grid([_row(beat, sequence, clock()) for beat in beats], ("", "PROCESS", "SERVICE", "KNOWS", "HEARD"), fixed=1)
    if done:
        say(text(f"all of {len(beats)} have it", GOOD))
    elif not beats:
        say(text("nobody was heard of, so nobody is known to have it", BAD))
    else:
        lacking = sum(beat.sequence < sequence for beat in beats)
        say(text(f"{lacking} of {len(beats)} had not reported it after {limit:g} s", BAD))
    return done


def _row(beat: Beat, sequence: int, now: float) -> tuple[Text, ...]:
    ok = beat.sequence >= sequence
    return (
        text("ok" if ok else "!!", GOOD if ok else BAD),
        text(f"{brief(beat.host)} {beat.pid}"),
        text(brief(beat.service)),
        text(beat.sequence),
        text(f"{max(now - beat.at, 0):.0f} s ago"),
    )
