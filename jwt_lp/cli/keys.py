"""How are the keys that sign our own tokens made, changed and taken out?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from jwt_lp.cli.output import DIM, OK, WARNING, emit, grid, moment, notices, say, span, text
from jwt_lp.cli.param_types import DurationParam
from jwt_lp.jose.key_files import Ring, read_ring
from jwt_lp.jose.key_rotation import FOLDER, PUBLISH_AHEAD, add_key, rotate_keys, withdraw_key
from jwt_lp.jose.remote_jwks import DEFAULT_AGE, DEFAULT_TIMINGS

_STYLES: Final = {"current": OK, "next": "", "retired": DIM, "dead": DIM}

keys_option: Final = click.option(
    "--keys",
    "folder",
    metavar="FOLDER",
    default=FOLDER,
    show_default=True,
    help="The folder that holds the signing keys, and nothing else.",
)
_algorithm_option: Final = click.option(
    "--algorithm", metavar="NAME", help="What the new key signs with, such as ES256 (usual), RS256 or EdDSA."
)


@click.group(short_help="Manage the keys that sign your own tokens.")
def keys() -> None:
    """Make, list, rotate and retire the keys that sign the tokens of your own issuer.

    A key is published before it signs and stays published until its last token is dead, so that a rotation refuses
    nobody. No command prints a private key.

    \b
      jwt-lp keys new                 a current key, and one that signs next
      jwt-lp keys list                which signs, and which are published until when
      jwt-lp keys rotate              let the next one sign
      jwt-lp keys retire KID          withdraw one at once that others may have
    """  # noqa: D301 - a real backspace is what click looks for


@keys.command(short_help="Make a key that signs next.")
@keys_option
@_algorithm_option
def new(folder: str, algorithm: str | None) -> None:
    """Make a key that is published now and signs after the next rotation.

    In a new folder two are made: one that signs from now on, and one that signs next.
    """
    ring = add_key(folder, algorithm or "ES256")
    latest = max(key.published for key in ring.keys)
    before = [key for key in ring.next_keys if key.published < latest]
    for key in ring.in_order():
        if key.published == latest:
            signs = "signs from now on" if key == ring.current else "signs after a rotation"
            if before:
                signs = f"comes after the next key that there is already, {before[-1].kid}"
            say(f"made {key.kid} ({key.algorithm}) in {folder}/: it is published, and {signs}")
    _print_next_rotation(ring)


@keys.command("list", short_help="Show which key signs, and which are published.")
@keys_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(folder: str, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Show the keys: the current one signs, the next ones and the retired ones are published beside it."""
    ring, now = read_ring(Path(folder)), time.time()
    if as_json:
        emit(_as_json(ring, folder, now))
        return
    rows = [
        (
            text(key.state(now), _STYLES[key.state(now)]),
            text(key.kid),
            text(key.algorithm),
            text(moment(key.since)),
            text("" if key.until is None else moment(key.until)),
        )
        for key in ring.in_order()
    ]
    grid(rows, ("STATE", "KID", "ALGORITHM", "SINCE", "PUBLISHED UNTIL"), fixed=4)
    _print_next_rotation(ring)


@keys.command(short_help="Let the next key sign.")
@keys_option
@_algorithm_option
@click.option(
    "--ahead",
    type=DurationParam(),
    default=f"{PUBLISH_AHEAD / 60:.0f}m",
    show_default=True,
    help="How long the next key has to have been published.",
)
@click.option(
    "--lifetime",
    type=DurationParam(),
    help="The longest life of a token. Default: the last one given, and 1h at first.",
)
@click.option("--force", is_flag=True, help="Rotate though verifiers may not have the next key yet.")
def rotate(folder: str, algorithm: str | None, ahead: int, lifetime: int | None, force: bool) -> None:  # noqa: FBT001
    """Let the next key sign, keep the one before published while its tokens live, and publish a new next one.

    It is refused (exit code 1) while verifiers may not have fetched the next key: they refetch a key set at the end
    of its max-age. Processes that serve see the change within seconds.
    """
    ring = rotate_keys(folder, ahead=ahead, lifetime=lifetime, algorithm=algorithm, force=force)
    retired = max((key for key in ring.keys if key.until is not None), key=lambda key: key.since)
    say(f"{ring.current.kid} ({ring.current.algorithm}) signs from now on")
    say(f"{retired.kid} is retired, and published until {moment(retired.until)}")
    if force:
        _warn_of_early_rotation(ring, ahead)
    _print_next_rotation(ring)


@keys.command(short_help="Withdraw a key at once.")
@click.argument("kid")
@keys_option
def retire(kid: str, folder: str) -> None:
    """Withdraw the key KID at once, as one that others may have. Its private half is deleted.

    Its tokens are refused as soon as verifiers have fetched the key set again. In place of the current key the next
    one signs.
    """
    before = read_ring(Path(folder))
    ring = withdraw_key(kid, folder)
    say(f"{kid} is not published any more, and its private half is deleted")
    say(
        "a service takes its tokens until it has fetched the key set again: at the end of the set's max-age, "
        f"{DEFAULT_AGE:.0f} s where it says none; restart what must refuse them sooner"
    )
    if ring.current.kid != before.current.kid:
        say(f"{ring.current.kid} ({ring.current.algorithm}) signs from now on")
        _warn_of_early_rotation(ring, PUBLISH_AHEAD)
    _print_next_rotation(ring)


def _warn_of_early_rotation(ring: Ring, ahead: float) -> None:
    """Say what it costs that a key signs which verifiers may not have."""
    since = time.time() - ring.current.published
    if since < ahead:
        said = (
            f"it has been published for {span(since)} only: a verifier that has not fetched it yet refuses its tokens, "
            f"for up to {DEFAULT_TIMINGS.cooldown:.0f} s, and longer where it cannot fetch"
        )
        notices([said])


def _print_next_rotation(ring: Ring) -> None:
    for key in ring.next_keys[:1]:
        say(
            text("next: ", WARNING),
            f"{key.kid} ({key.algorithm}): rotate from {moment(key.published + PUBLISH_AHEAD)} on",
        )


def _as_json(ring: Ring, folder: str, now: float) -> dict[str, object]:
    return {
        "folder": folder,
        "lifetime_seconds": ring.lifetime,
        "keys": [
            {
                "kid": key.kid,
                "algorithm": key.algorithm,
                "state": key.state(now),
                "since": moment(key.since),
                "published_until": None if key.until is None else moment(key.until),
            }
            for key in ring.in_order()
        ],
    }
