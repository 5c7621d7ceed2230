"""The store, the policy and the campaign that the commands `jwt-lp campaign` act on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from jwt_lp.campaigns import Campaigns
from jwt_lp.cli.output import CheckFailed, Failure, brief
from jwt_lp.cli.review_options import read_issuer_names, read_policy
from jwt_lp.cli.revoke import current_user
from jwt_lp.cli.row_input import default_issuer, subject_naming
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.stores.audit import Actor
from jwt_lp.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Generator

    from jwt_lp.guard.settings import Settings
    from jwt_lp.stores.campaigns import Campaign

_C = TypeVar("_C", bound=Callable[..., object])

_SHORTEST: Final = 4
"""The fewest digits of an id that name a campaign."""

by_option: Final = click.option(
    "--by", metavar="NAME", help="Your name, for the audit trail. Default: the current user."
)
campaign_argument: Final = click.argument("campaign_id", metavar="CAMPAIGN")


def changing_options(command: _C) -> _C:
    """Add the options of commands that change a campaign."""
    return campaign_argument(by_option(store_options(command)))


def take_place(options: dict[str, Any]) -> StoreOptions:
    """The store and the settings among the options, which are removed from them."""
    return StoreOptions(*(options.pop(name) for name in ("url", "target", "where")))


def operator_of(by: str | None) -> Actor:
    """Whoever has the store: the command itself, with a name for the audit trail."""
    return Actor(issuer="", subject=by if by is not None else current_user())


@contextmanager
def opened_campaigns(ctx: click.Context, place: StoreOptions, **more: Any) -> Generator[Campaigns]:
    """The campaigns of the store that the options name."""
    settings = place.settings(ctx)
    with place.open(settings) as store:
        yield Campaigns(
            store,
            read_policy(more.pop("policy_file", None), settings),
            naming=subject_naming(settings),
            issuer_names=read_issuer_names(settings),
            clock=time.time,
            **more,
        )


def find_campaign(campaigns: Campaigns, named: str) -> Campaign:
    """The campaign with this id, the first digits of its id, or its name; `CheckFailed` if there is none, or several."""
    found = campaigns.list()
    exact = [each for each in found if each.id == named] or [each for each in found if each.name == named]
    matches = exact or [each for each in found if len(named) >= _SHORTEST and each.id.startswith(named)]
    if not matches:
        raise CheckFailed(f"there is no campaign {brief(named)}: jwt-lp campaign list shows them")
    if len(matches) > 1:
        ids = ", ".join(each.id[:8] for each in matches)
        raise CheckFailed(f"several campaigns are named so: name one by the first digits of its id ({ids})")
    return matches[0]


def configured_webhooks(url: str | None, secret: str | None) -> list[Webhook]:
    """The webhook of the options; `Failure` without one, or without its secret."""
    if not url or not secret:
        raise Failure("whom to tell? pass --webhook URL, and set the secret that signs: JWT_LP_WEBHOOK_SECRET")
    return [Webhook(url, secret)]


def issuer_of(value: str | None, settings: Settings | None, known: str) -> str:
    """The issuer of a reviewer: as it is named, else that of the settings, else `known`."""
    issuer = default_issuer(value, settings) or known
    if not issuer:
        raise click.UsageError("where does the reviewer sign in? pass --reviewer-issuer ISS")
    return issuer
