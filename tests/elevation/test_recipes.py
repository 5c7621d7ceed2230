"""The recipes of the docs for Slack and e-mail, against a receiver over HTTP and one over SMTP."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Any, cast

import pytest

from docs.pages import blocks
from elevation.elevation_world import World
from elevation.elevation_world import policy as elevation_policy
from jwt_lp.elevation.deliveries import CLAIM, ElevationDeliveries
from webhook_receiver import WebhookReceiver

RECIPES = "".join(
    block.text
    for block in blocks("docs/elevation-hosts.md", "python")
    if "SLACK_URL =" in block.text or "SMTP =" in block.text
)


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs that sends one message."""

    def handle(self) -> None:
        self.wfile.write(b"220 mailbox\r\n")
        while line := self.rfile.readline().strip():
            if line.upper() == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text)
                cast("Any", self.server).received.append(b"".join(lines))
            self.wfile.write(b"221 bye\r\n" if line.upper() == b"QUIT" else b"250 fine\r\n")


@contextmanager
def mailbox() -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as server:
        received: list[bytes] = []
        server.received = received  # type: ignore[attr-defined]  # for the handler
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield ("127.0.0.1", server.server_address[1]), received
        server.shutdown()
        thread.join(5)


@pytest.fixture
def world() -> Iterator[World]:
    made = World(elevation_policy(break_glass=True))
    yield made
    made.guard.close()


@pytest.fixture
def recipes(world: World) -> dict[str, Any]:
    names: dict[str, Any] = {"store": world.store}
    exec(RECIPES, names)
    return names


def test_slack_is_told_and_nothing_is_mentioned(world: World, recipes: dict[str, Any]) -> None:
    """What somebody wrote as a reason cannot mention a channel; an answer of 500 is tried again."""
    with WebhookReceiver((500, {}), (200, {})) as receiver:
        recipes["SLACK_URL"] = receiver.url
        deliveries = ElevationDeliveries(world.store, [recipes["tell_slack"]], clock=lambda: world.now)
        world.elevations.request(world.token(), "orders:export", reason="<!channel> now & here")
        assert 0 == deliveries.deliver()
        world.now += CLAIM
        assert 1 == deliveries.deliver()
    text = receiver.received[1].content["text"]
    assert "elevation.asked: ana, orders:export, &lt;!channel&gt; now &amp; here" == text


def test_approvers_get_one_mail_for_a_request(world: World, recipes: dict[str, Any]) -> None:
    """The mail names who asks for what; other steps send none."""
    with mailbox() as (address, received):
        recipes["SMTP"] = address
        deliveries = ElevationDeliveries(world.store, [recipes["mail_approvers"]], clock=lambda: world.now)
        asked = world.elevations.request(world.token(), "orders:export", reason="the auditor waits")
        world.elevations.deny(world.token("bob"), asked.id)
        assert 2 == deliveries.deliver()
    (content,) = received
    message = message_from_bytes(content, policy=policy.default)
    assert ("elevation.asked: orders:export", f"<{asked.id}-1@shop.example.com>") == (
        message["Subject"],
        message["Message-ID"],
    )
    assert "ana asks until 2027-01-16T08:00:00Z: the auditor waits" in message.get_content()


def test_a_mail_server_that_is_down_loses_nothing(world: World, recipes: dict[str, Any]) -> None:
    """The step is kept and sent when the server is back."""
    with mailbox() as (address, received):
        down = address
    recipes["SMTP"] = down
    deliveries = ElevationDeliveries(world.store, [recipes["mail_approvers"]], clock=lambda: world.now)
    world.elevations.request(world.token(), "orders:export")
    assert 0 == deliveries.deliver()
    with mailbox() as (address, received):
        recipes["SMTP"] = address
        world.now += CLAIM
        assert 1 == deliveries.deliver()
    assert 1 == len(received)
