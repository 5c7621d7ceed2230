"""The commands `jwt-lp campaign`: reviews with a deadline, decided about by reviewers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, get_args

import click

from jwt_lp.campaigns import Campaigns
from jwt_lp.cli.campaign_audit import audit
from jwt_lp.cli.campaign_files import import_worksheets, plan, worksheet
from jwt_lp.cli.campaign_place import (
    by_option,
    campaign_argument,
    changing_options,
    configured_webhooks,
    find_campaign,
    issuer_of,
    opened_campaigns,
    operator_of,
    take_place,
)
from jwt_lp.cli.campaign_view import print_campaigns, print_part, print_progress
from jwt_lp.cli.notice import secret_option, webhook_option
from jwt_lp.cli.output import OK, CheckFailed, count, notices, say, show_steps, text
from jwt_lp.cli.param_types import DeadlineParam
from jwt_lp.cli.review_options import analysis_options, check_options, read_options, read_policy
from jwt_lp.cli.row_input import subject_naming
from jwt_lp.cli.store import format_option, store_options
from jwt_lp.cli.usage_folder import open_usage
from jwt_lp.stores.audit import Actor
from jwt_lp.stores.campaigns import CampaignSplit, DeadlineRule

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings


@click.group(short_help="Let reviewers decide about access until a deadline.")
def campaign() -> None:
    """Freeze a review as a campaign: reviewers decide about its items until a deadline, and a plan follows.

    \b
      jwt-lp campaign freeze --name "Autumn 2026" --deadline 14d --people people.csv
      jwt-lp campaign worksheet "Autumn 2026" -o decide.csv --split
      jwt-lp campaign import "Autumn 2026" decide-ann-lee.csv
      jwt-lp campaign close "Autumn 2026"
      jwt-lp campaign plan "Autumn 2026" -o autumn.plan
      jwt-lp apply autumn.plan --dry-run

    Whoever has the store may run these, and is recorded by name. In jwt-lp console, reviewers decide in a browser.
    """  # noqa: D301 - a real backspace is what click looks for


@campaign.command(short_help="Freeze a review as a campaign.")
@click.option("--name", required=True, metavar="TEXT", help="The name of the campaign.")
@click.option("--deadline", type=DeadlineParam(), required=True, metavar="DAY|DAYS",
              help="The last day of deciding, in UTC, such as 2026-12-15; or in how many days, such as 14d.")  # fmt: skip
@click.option("--undecided", type=click.Choice(get_args(DeadlineRule)), default="keep", show_default=True,
              help="What holds for items that nobody decided by the deadline.")  # fmt: skip
@click.option("--split", type=click.Choice(get_args(CampaignSplit)), default="manager", show_default=True,
              help="What the items of one reviewer have in common.")  # fmt: skip
@click.option("--stages", default="", metavar="STAGES",
              help="Take grants back in stages, such as notice=14d,trial=30d. Default: at once.")  # fmt: skip
@click.option("--reviewer", "reviewers", type=(str, str), multiple=True, metavar="PART SUBJECT",
              help="The reviewer of a part. Default: the manager in --people. Repeatable.")  # fmt: skip
@click.option("--reviewer-issuer", metavar="ISS", help="Where reviewers sign in. Default: the issuer of the holders.")
@click.option("--backtest", is_flag=True, help="Replay every rule over the past too, which takes longer.")
@by_option
@analysis_options
@format_option
@store_options
@click.pass_context
def freeze(ctx: click.Context, /, **options: Any) -> None:
    """Review the store as jwt-lp review does, and keep what needs a decision as a campaign with a deadline.

    Nothing is revoked. Each manager in --people gets the part with their people; what a reviewer holds is in nobody's
    part, and is to be assigned.

    \b
      jwt-lp campaign freeze --name "Autumn 2026" --deadline 2026-12-15 --people people.csv
      jwt-lp campaign freeze --name Roles --deadline 14d --split role --reviewer clerk ann
    """  # noqa: D301 - a real backspace is what click looks for
    check_options(options)
    place = take_place(options)
    settings = place.settings(ctx)
    with place.open(settings) as store, open_usage(options["usage"], store) as usage, show_steps() as step:
        policy = read_policy(options["policy_file"], settings)
        campaigns = Campaigns(store, policy, naming=subject_naming(settings), clock=time.time)
        made = campaigns.freeze(
            operator_of(options["by"]),
            **{name: options[name] for name in ("name", "deadline", "undecided", "split", "stages")},
            day=options["now"],
            options=read_options(options, settings, usage, backtest=options["backtest"]),
            reviewers=_reviewers(options, settings),
            reviewer_issuer=options["reviewer_issuer"] or "",
            on_step=step,
        )
        print_progress(campaigns.progress(made.id), time.time(), options["form"])


def _reviewers(options: dict[str, Any], settings: Settings | None) -> dict[str, Actor]:
    if not options["reviewers"]:
        return {}
    issuer = issuer_of(options["reviewer_issuer"] or options["issuer"], settings, "")
    return {part: Actor(issuer=issuer, subject=subject) for part, subject in options["reviewers"]}


@campaign.command("list", short_help="List campaigns.")
@format_option
@store_options
@click.pass_context
def list_campaigns(ctx: click.Context, /, form: str, **options: Any) -> None:
    """List all campaigns, the newest first."""
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        print_campaigns(campaigns.list(), time.time(), form)


@campaign.command(short_help="Show how far a campaign is.")
@campaign_argument
@format_option
@store_options
@click.pass_context
def show(ctx: click.Context, /, campaign_id: str, form: str, **options: Any) -> None:
    """Show CAMPAIGN, named by its name or the first digits of its id: its parts, reviewers, and what is open."""
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        progress = campaigns.progress(find_campaign(campaigns, campaign_id).id)
        print_progress(progress, time.time(), form)


def _giving(name: str, help_text: str) -> click.Command:
    """The command `name`, which gives a part to a reviewer."""

    @changing_options
    @click.argument("part")
    @click.argument("subject", required=name == "delegate")
    @click.option(
        "--reviewer-issuer", metavar="ISS", help="Where the reviewer signs in. Default: as the last reviewer."
    )
    @click.option("--shown-name", default="", metavar="NAME", help="The reviewer's name, for people.")
    @click.pass_context
    def command(ctx: click.Context, /, campaign_id: str, part: str, subject: str | None, **options: Any) -> None:
        by, issuer, shown = (options.pop(each) for each in ("by", "reviewer_issuer", "shown_name"))
        place = take_place(options)
        with opened_campaigns(ctx, place) as campaigns:
            found = find_campaign(campaigns, campaign_id)
            parts = {each.name: each for each in campaigns.parts(found.id)}
            if part not in parts:
                raise CheckFailed(f"the campaign has no part {part}: jwt-lp campaign show lists them")
            reviewer = None
            if subject is not None:
                known = parts[part].reviewer
                named = issuer_of(issuer, place.settings(ctx), "" if known is None else known.issuer)
                reviewer = Actor(issuer=named, subject=subject, name=shown)
            act: Any = getattr(campaigns, name)
            print_part(act(operator_of(by), found.id, part, reviewer, version=parts[part].version))

    return campaign.command(name, short_help=help_text, help=f"{help_text} An empty PART is nobody's.")(command)


assign: click.Command = _giving("assign", "Assign PART of CAMPAIGN to the reviewer SUBJECT, or to nobody.")
delegate: click.Command = _giving("delegate", "Give PART of CAMPAIGN to SUBJECT, in place of its reviewer.")


@campaign.command(short_help="Remind reviewers of what is open.")
@changing_options
@click.option("--part", metavar="NAME", help="Only this part.")
@click.option("--force", is_flag=True, help="Also those who were reminded within the last 24 hours.")
@webhook_option
@secret_option
@click.pass_context
def remind(ctx: click.Context, /, campaign_id: str, **options: Any) -> None:
    """Send an event review.reminder for each part of CAMPAIGN in which something is open, signed as other webhooks are.

    It names the part, its reviewer, how much is open and the deadline, and nobody's permissions. Exit code 1 if the
    webhook did not take one.
    """
    by, part, force, url, secret = (options.pop(each) for each in ("by", "part", "force", "webhook", "secret"))
    webhooks = configured_webhooks(url, secret)
    with opened_campaigns(ctx, take_place(options), webhooks=webhooks) as campaigns:
        found = find_campaign(campaigns, campaign_id)
        result = campaigns.remind(operator_of(by), found.id, part=part, force=force)
    say(text(f"{count(len(result.sent), 'reminder')} sent", OK))
    if result.skipped:
        say(f"reminded within the last 24 hours: {len(result.skipped):,}")
    notices(f"{part or '(nobody)'}: {fault}" for part, fault in result.failed)
    if result.failed:
        ctx.exit(1)


@campaign.command(short_help="End the deciding.")
@changing_options
@click.option("--early", is_flag=True, help="Before the deadline, although items are open.")
@click.pass_context
def close(ctx: click.Context, /, campaign_id: str, *, early: bool, by: str | None, **options: Any) -> None:
    """End the deciding about CAMPAIGN. Its deadline rule decides about what is open; its plan can be made then."""
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        found = find_campaign(campaigns, campaign_id)
        campaigns.close(operator_of(by), found.id, early=early)
        left = found.items - found.decided
        say(text(f"closed; decided by the rule ({found.undecided}): {left:,} of {found.items:,}", OK))


@campaign.command(short_help="Give a campaign up.")
@changing_options
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the audit trail.")
@click.pass_context
def cancel(ctx: click.Context, /, campaign_id: str, reason: str, by: str | None, **options: Any) -> None:
    """Give CAMPAIGN up: nothing in it can be decided any more, and no plan can be made of it."""
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        campaigns.cancel(operator_of(by), find_campaign(campaigns, campaign_id).id, reason=reason)
        say(text("cancelled", OK))


for _command in (worksheet, import_worksheets, plan, audit):
    campaign.add_command(_command)
