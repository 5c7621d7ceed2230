"""Giving notice of a plan: the file for holders and managers, and the webhook that tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from jwt_lp.cli.output import DIM, Failure, count, say, text
from jwt_lp.review.plan import send_notice, write_notice
from jwt_lp.webhooks import Webhook, WebhookError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.review.plan import Notice

WEBHOOK_VARIABLE: Final = "JWT_LP_WEBHOOK"
SECRET_VARIABLE: Final = "JWT_LP_WEBHOOK_SECRET"

webhook_option: Final = click.option(
    "--webhook",
    metavar="URL",
    envvar=WEBHOOK_VARIABLE,
    help=f"Where the notice is sent, signed with the secret in {SECRET_VARIABLE}. Default: {WEBHOOK_VARIABLE}.",
)
_LONGEST_WAIT: Final = 60.0
"""Seconds that a receiver may ask to wait; somebody sits at the terminal."""

secret_option: Final = click.option("--webhook-secret", "secret", envvar=SECRET_VARIABLE, hidden=True)


def notice_teller(path: str, url: str | None, secret: str | None) -> Callable[[Notice], None]:
    """What gives a notice: it writes `PATH.notice.csv` and sends the events. Checked before anything is written."""
    if url and not secret:
        raise Failure(f"--webhook needs a secret that signs: set {SECRET_VARIABLE}")
    webhook = Webhook(url, secret or "") if url else None

    def tell(notice: Notice) -> None:
        file = f"{path}.notice.csv"
        write_notice(notice, file)
        say(text(f"{file}: {count(len(notice.items), 'grant')} to be revoked on {notice.ends}", DIM))
        if webhook is not None:
            say(text(f"events sent to the webhook: {_send(webhook, notice):,}", DIM))

    return tell


def _send(webhook: Webhook, notice: Notice) -> int:
    try:
        return send_notice(notice, lambda event: webhook.deliver(event, longest=_LONGEST_WAIT))
    except WebhookError as error:
        raise Failure(str(error)) from None
