"""Facts about holders and roles at their bounds: many days, many look-ups, and no review."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")

from console.access_history import CAMPAIGN, ISSUER, day, freeze_campaign, record_history, use
from jwt_lp import Policy
from jwt_lp.console import grant_ways, holder_facts
from jwt_lp.console.grant_ways import HeldPermissions
from jwt_lp.console.holder_facts import read_holder
from jwt_lp.console.role_facts import read_role
from jwt_lp.console.state import ConsoleState
from jwt_lp.stores import UsageBatch, open_store

POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {f"orders:{name}": {} for name in ("read", "create", "export")},
        "roles": {"clerk": {"grants": ["orders:read", "orders:create"]}, "idle": {"grants": ["orders:export"]}},
    }
)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleState]:
    """The state of a console over a store with a past."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    store.migrate()
    record_history(store)
    sessions: Any = None
    yield ConsoleState(store=store, policy=POLICY, sessions=sessions)
    store.close()


def test_a_long_past_is_cut_where_it_is_complete(console: ConsoleState, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store has more days of use than one page reads, the time line begins where all of them are there."""
    uses = {use("dave", f"orders:{name}", ago): (ago, 0.0) for name in ("read", "export") for ago in range(1, 11)}
    console.store.record(UsageBatch(id="long", uses=uses))
    found = {}
    for most in (1, 2, 7, 20, 21):
        monkeypatch.setattr(holder_facts, "_MOST_DAYS", most)
        facts = read_holder(console, "subject", ISSUER, "dave")
        assert facts.strip is not None
        found[most] = (facts.since, sum(each.uses for each in facts.strip.columns))
    # Twice 1 + 2 + ... uses; of a day that may be there in part nothing is shown, unless it is the only one.
    expected = {1: (day(1), 1), 2: (day(1), 2), 7: (day(3), 12), 20: (day(9), 90), 21: (day(365), 110)}
    assert expected == found


def test_a_role_without_a_review_has_no_numbers(console: ConsoleState) -> None:
    """Before the first campaign its grants are those of the policy, and nobody counted who used them."""
    facts = read_role(console, "clerk")
    assert [("orders:create", None), ("orders:read", None)] == [(each.grant, each.users) for each in facts.grants]
    assert (None, None, ()) == (facts.review, facts.matrix, facts.parts)
    idle = read_role(console, "idle")
    assert (True, 0, ()) == (idle.is_known, idle.count.number, idle.revocations)


def test_a_finding_of_the_review_counts_more_than_its_summary(console: ConsoleState) -> None:
    """The findings about a role's grants are exact; other findings about the role have no members."""
    more = {
        "kind": "split",
        "of": "role",
        "issuer": "",
        "name": "clerk",
        "role": "clerk",
        "grant": "",
        "proposal": "keep",
    }
    freeze_campaign(console.store, summary={"matrix": [["clerk", "orders:create", 9, 9]]}, more=[more])
    facts = read_role(console, "clerk")
    assert {"orders:create": (2, 0), "orders:read": (None, None)} == {
        each.grant: (each.members, each.users) for each in facts.grants
    }
    assert [(CAMPAIGN, "boss")] == [(each.campaign.id, each.part) for each in facts.parts]


def test_a_page_asks_about_few_ways(console: ConsoleState, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many look-ups nothing more is known, except about what was looked up before."""
    monkeypatch.setattr(grant_ways, "MOST_LOOKED_UP", 4)
    held = HeldPermissions(console.store, POLICY)
    asked = ["orders:read", "nothing", "orders:export", "orders:create", "other:thing", "orders:read", "orders:export"]
    expected = ["yes", "no", "not looked up", "yes", "not looked up", "yes", "not looked up"]
    assert expected == [held.held(name) for name in asked]
