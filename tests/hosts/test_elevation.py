"""Elevation in every host, over real HTTP: refused, elevated, allowed, and refused again after the end."""

from __future__ import annotations

import inspect
import time
from importlib import import_module
from typing import Any

import pytest

from clock import Clock
from elevated import approve, change
from hosts.conformance import POLICY
from hosts.serving import HttpClient, serve
from hosts.test_conformance import MODES
from jwt_lp import Guard
from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.testing.authority import Authority
from memory_store import MemoryStore, entry

pytestmark = pytest.mark.host

SECONDS = 30


class Elevated:
    """A served application on a store in memory, whose guard polls often and has the test's clock."""

    def __init__(self, client: HttpClient, store: MemoryStore, clock: Clock, authority: Authority) -> None:
        self.client = client
        self.store = store
        self.clock = clock
        self.header = authority.headers(permissions=["orders:export"])["Authorization"]

    def ask(self, path: str = "/orders") -> Any:
        return self.client.request("GET", path, [("Authorization", self.header)])

    def wait_for(self, status: int) -> None:
        """Wait until a poll has changed the answer."""
        deadline = time.monotonic() + 30
        while self.ask().status != status:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize(("module", "mode"), MODES, ids=[mode for _, mode in MODES])
def test_elevated_from_the_approval_to_the_end(module: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Views and probes see it too. The first request after the end, by either clock, is refused, although the store is away since."""
    clock, monotonic, store = Clock(time.time()), Clock(1000.0), MemoryStore()
    defaults: Any = inspect.unwrap(Guard.__init__).__kwdefaults__
    monkeypatch.setitem(defaults, "clock", clock)
    polling = RevocationPoller.__init__.__kwdefaults__
    assert polling is not None
    monkeypatch.setitem(polling, "interval", 0.02)
    monkeypatch.setitem(polling, "clock", monotonic)
    authority = Authority(policy=POLICY, clock=clock)
    settings = authority.settings(OWN=False, ELEVATION=["orders:*"], STORE=store, SERVICE="orders")
    with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
        world = Elevated(client, store, clock, authority)
        world.wait_for(403)
        elevation = approve(store, "orders:list", clock.now, SECONDS)
        world.wait_for(200)
        assert [200, 200] == [world.ask(path).status for path in ("/both", "/by-token")]
        assert [True, True] == [world.ask("/by-token").json["holds"], world.ask("/can").json["can"]]
        change(store, elevation, "ended", clock.now)
        world.wait_for(403)
        approve(store, "orders:list", clock.now, SECONDS)
        world.wait_for(200)
        store.down = OSError("down")
        monotonic.now += SECONDS
        assert [403, 403] == [world.ask().status, world.ask("/both").status]
        store.down = None
        approve(store, "orders:list", clock.now, SECONDS)
        world.wait_for(200)
        store.down = OSError("down")
        clock.now += SECONDS - 0.5
        assert 200 == world.ask().status
        clock.now += 0.5
        assert [403, 403] == [world.ask().status, world.ask("/both").status]
        assert not world.ask("/can").json["can"]


@pytest.mark.parametrize(("module", "mode"), MODES, ids=[mode for _, mode in MODES])
def test_removed_by_a_plan_then_elevated(module: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a review took back is refused, allowed by an elevation, and refused after its end; the entry stays all along."""
    clock, store = Clock(time.time()), MemoryStore()
    defaults: Any = inspect.unwrap(Guard.__init__).__kwdefaults__
    monkeypatch.setitem(defaults, "clock", clock)
    polling = RevocationPoller.__init__.__kwdefaults__
    assert polling is not None
    monkeypatch.setitem(polling, "interval", 0.02)
    authority = Authority(policy=POLICY, clock=clock)
    settings = authority.settings(OWN=False, ELEVATION=["orders:*"], STORE=store, SERVICE="orders")
    with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
        world = Elevated(client, store, clock, authority)
        world.header = authority.headers(permissions=["orders:list", "orders:export"])["Authorization"]
        world.wait_for(200)
        store.revoke([entry("subject", "alice", pattern="orders:list", standing=True)], at=clock.now)
        world.wait_for(403)
        approve(store, "orders:list", clock.now, SECONDS)
        world.wait_for(200)
        assert 200 == world.ask("/both").status
        clock.now += SECONDS
        assert [403, 403] == [world.ask().status, world.ask("/both").status]
