"""The commands `jwt-lp keys`: signing keys of your own issuer and their rotation."""

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
    help="The folder of the signing keys. It must hold nothing else.",
)
_algorithm_option: Final = click.option(
    "--algorithm", metavar="NAME", help="The algorithm of the new key, such as ES256 (the usual one), RS256 or EdDSA."
)


@click.group(short_help="Manage the keys that sign your own tokens.")
def keys() -> None:
    """Make, list, rotate and retire the keys that sign the tokens of your own issuer.

    A key is published before it signs, and stays published until its last token has expired, so that no valid token is
    refused because of a rotation. No command prints a private key.

    \b
      jwt-lp keys new                 a current key and the next one
      jwt-lp keys list                the keys, their states, and how long they are published
      jwt-lp keys rotate              sign with the next key from now on
      jwt-lp keys retire KID          withdraw a compromised key at once
    """  # noqa: D301 - a real backspace is what click looks for


@keys.command(short_help="Make a key for the next rotation.")
@keys_option
@_algorithm_option
def new(folder: str, algorithm: str | None) -> None:
    """Make a key that is published now and signs after the next rotation.

    In a new folder two keys are made: one that signs from now on, and one that signs after the next rotation.
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


@keys.command("list", short_help="List the keys, and which of them signs.")
@keys_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, on standard output.")
def list_keys(folder: str, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    """List the keys. The current key signs; the next keys and the retired keys are published too."""
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


@keys.command(short_help="Sign with the next key from now on.")
@keys_option
@_algorithm_option
@click.option(
    "--ahead",
    type=DurationParam(),
    default=f"{PUBLISH_AHEAD / 60:.0f}m",
    show_default=True,
    help="The time for which the next key must have been published.",
)
@click.option(
    "--lifetime",
    type=DurationParam(),
    help="The longest lifetime of a token. Default: that of the last rotation, or 1h.",
)
@click.option("--force", is_flag=True, help="Rotate even if verifiers may not have the next key yet.")
def rotate(folder: str, algorithm: str | None, ahead: int, lifetime: int | None, force: bool) -> None:  # noqa: FBT001
    """Sign with the next key, keep the previous key published while its tokens live, and publish a new next key.

    The rotation is refused (exit code 1) while verifiers may not have fetched the next key: they fetch a key set again
    at the end of its max-age. Serving processes see the change within seconds.
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
    """Withdraw the key KID at once, because it may be compromised. Its private key is deleted.

    Its tokens are refused as soon as verifiers have fetched the key set again. If KID is the current key, the next key
    signs from now on.
    """
    before = read_ring(Path(folder))
    ring = withdraw_key(kid, folder)
    say(f"{kid} is no longer published, and its private key is deleted")
    say(
        "a service accepts its tokens until it fetches the key set again: at the end of its max-age, or after "
        f"{DEFAULT_AGE:.0f} s if it has none; restart services that must refuse them sooner"
    )
    if ring.current.kid != before.current.kid:
        say(f"{ring.current.kid} ({ring.current.algorithm}) signs from now on")
        _warn_of_early_rotation(ring, PUBLISH_AHEAD)
    _print_next_rotation(ring)


def _warn_of_early_rotation(ring: Ring, ahead: float) -> None:
    """Warn if verifiers may not have the key that signs now."""
    since = time.time() - ring.current.published
    if since < ahead:
        warning = (
            f"it has been published for only {span(since)}: a verifier that has not fetched it yet refuses its tokens, "
            f"for up to {DEFAULT_TIMINGS.cooldown:.0f} s, and longer if it cannot fetch the key set"
        )
        notices([warning])


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
