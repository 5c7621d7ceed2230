"""The command `jwt-lp elevate deliver`: sends what happened to elevations to a webhook."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jwt_lp.cli.output import CheckFailed, Failure, count, say
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.elevation.deliveries import ElevationDeliveries
from jwt_lp.webhooks import Webhook

if TYPE_CHECKING:
    from jwt_lp.webhooks import WebhookEvent

_MAX_SECRET = 4096


@click.command(short_help="Send what happened to elevations to a webhook.")
@click.argument("webhook_url", metavar="URL")
@click.option("--secret-file", "secret", required=True, metavar="FILE", help="The file with the secret, whsec_...")
@click.option("--once", is_flag=True, help="Send what waits, and end. Exit code 1 if the webhook did not take it.")
@store_options
@click.pass_context
def deliver(ctx: click.Context, /, webhook_url: str, secret: str, *, once: bool, **options: Any) -> None:
    """Send each step of an elevation to the webhook at URL, signed as Standard Webhooks says, at least once.

    The store keeps a step until it was received, so this can be stopped and started at any time, and several processes
    share the work. A receiver ignores an event whose webhook-id it has already.

    \b
      jwt-lp elevate deliver https://hooks.example.com/jwt-lp --secret-file webhook.secret
    """  # noqa: D301 - a real backspace is what click looks for
    webhook = Webhook(webhook_url, _read_secret(secret))
    place = StoreOptions(**options)
    with place.open(place.settings(ctx)) as store:

        def send(event: WebhookEvent) -> None:
            webhook.send(event, now=time.time())

        deliveries = ElevationDeliveries(store, [send])
        if not once:
            deliveries.run(threading.Event())
        delivered = deliveries.deliver()
    say(f"{count(delivered, 'step')} delivered")
    if deliveries.failures:
        raise CheckFailed("the webhook did not take an event: it is kept, and is sent again in two minutes")


def _read_secret(file: str) -> str:
    try:
        with Path(file).open(encoding="ascii") as opened:
            return opened.read(_MAX_SECRET).strip()
    except OSError as error:
        reason = error.strerror
    except ValueError:
        reason = "it is not text"
    raise Failure(f"{file} cannot be read: {reason}")
