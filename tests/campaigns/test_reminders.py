"""Reminders: who is told what, how often, and what happens if a receiver fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from campaigns.conftest import ANN, BEN, DAY, OPERATOR, Quarter
from jwt_lp.errors import CampaignClosed, CampaignRefused, CampaignUnknown, ConfigurationError
from jwt_lp.webhooks import Webhook
from webhook_receiver import SECRET, WebhookReceiver

pytestmark = pytest.mark.once


@pytest.fixture
def receiver(quarter: Quarter) -> Iterator[WebhookReceiver]:
    """A receiver that the engine tells."""
    with WebhookReceiver() as found:
        quarter.campaigns = quarter.engine(webhooks=[Webhook(found.url, SECRET, ("127.0.0.1",))])
        yield found


def test_reviewers_are_told_what_is_open(quarter: Quarter, receiver: WebhookReceiver) -> None:
    """An event for each part with something open and a reviewer, with nothing about holders or permissions."""
    campaign = quarter.freeze()
    quarter.decide_part(campaign, "ann")
    result = quarter.campaigns.remind(OPERATOR, campaign.id)
    assert (("Ann Lee", "Ben Ray"), (), ()) == (result.sent, result.skipped, result.failed)
    first, second = (event.content for event in receiver.received)
    assert "review.reminder" == first["type"]
    assert {
        "campaign": {"id": campaign.id, "name": "Autumn"},
        "part": "Ben Ray",
        "reviewer": {"issuer": BEN.issuer, "subject": "ben", "name": "Ben Ray"},
        "open": 13,
        "items": 13,
        "deadline": "2026-11-15T12:00:00Z",
    } == second["data"]
    assert not any(word in json.dumps(first) for word in ("alice", "orders", "reports"))
    assert ["reminded"] * 2 == quarter.actions(campaign)[-2:]


def test_a_reminder_is_signed(quarter: Quarter, receiver: WebhookReceiver) -> None:
    """A receiver can verify it as it does other events."""
    standardwebhooks: Any = pytest.importorskip("standardwebhooks")
    campaign = quarter.freeze()
    quarter.campaigns.remind(OPERATOR, campaign.id, part="ann")
    (event,) = receiver.received
    assert "review.reminder" == standardwebhooks.Webhook(SECRET).verify(event.body, event.headers)["type"]


def test_nobody_is_told_twice_a_day(quarter: Quarter, receiver: WebhookReceiver) -> None:
    """Within 24 hours only if it is forced; each reminder is an event of its own."""
    campaign = quarter.freeze()
    remind = quarter.campaigns.remind
    remind(OPERATOR, campaign.id, part="ann")
    assert ("ann",) == remind(OPERATOR, campaign.id, part="ann").skipped
    quarter.now += DAY - 1
    result = remind(OPERATOR, campaign.id)
    assert (("Ann Lee", "Ben Ray"), ("ann",)) == (result.sent, result.skipped)
    assert ("ann",) == remind(OPERATOR, campaign.id, part="ann", force=True).sent
    quarter.now += DAY
    assert ("ann",) == remind(OPERATOR, campaign.id, part="ann").sent
    assert 5 == len({event.headers["webhook-id"] for event in receiver.received}) == len(receiver.received)


def test_a_failure_is_reported_and_tried_again(quarter: Quarter, receiver: WebhookReceiver) -> None:
    """The other parts are told, and the next attempt has the same id, so that no receiver counts it twice."""
    campaign = quarter.freeze()
    receiver.answers = [(410, {})]
    result = quarter.campaigns.remind(OPERATOR, campaign.id)
    assert ((("Ben Ray", "ann"), ["Ann Lee"])) == (result.sent, [part for part, _ in result.failed])
    assert "410" in result.failed[0][1]
    assert receiver.url not in result.failed[0][1]
    assert ("Ann Lee",) == quarter.campaigns.remind(OPERATOR, campaign.id).sent
    ids = [event.headers["webhook-id"] for event in receiver.received]
    assert (ids[0], 3) == (ids[3], len({*ids}))


def test_nobody_is_reminded_in_vain(quarter: Quarter, receiver: WebhookReceiver) -> None:
    """Not of nobody's part, not after the deadline, and not of a campaign that is closed."""
    campaign = quarter.freeze()
    assert ((), (), ()) == tuple(
        getattr(quarter.campaigns.remind(OPERATOR, campaign.id, part=""), name)
        for name in ("sent", "skipped", "failed")
    )
    with pytest.raises(CampaignUnknown):
        quarter.campaigns.remind(OPERATOR, campaign.id, part="x")
    quarter.now = campaign.deadline
    with pytest.raises(CampaignRefused, match="deadline"):
        quarter.campaigns.remind(ANN, campaign.id)
    quarter.campaigns.close(OPERATOR, campaign.id)
    with pytest.raises(CampaignClosed):
        quarter.campaigns.remind(ANN, campaign.id)
    assert [] == receiver.received


def test_without_a_webhook_nobody_can_be_told(quarter: Quarter) -> None:
    """The operator is told what is missing."""
    with pytest.raises(ConfigurationError, match="no webhook"):
        quarter.campaigns.remind(OPERATOR, quarter.freeze().id)
