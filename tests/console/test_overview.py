"""The overview: what waits for somebody, how campaigns stand, and how fresh the data is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.access_history import CAMPAIGN, HOSTILE, SUMMARY, day, freeze_campaign, record_history
from console.campaign_world import make_world
from console.serving import ServedConsole, served_console, text_of
from jwt_lp import Policy
from jwt_lp.campaigns import ReviewOptions
from jwt_lp.stores import ProcessHeartbeat, RecordingPeriod, UsageBatch, open_store

READ = "jwt-lp:review:read"


@contextmanager
def _console(folder: Path, *fill: Any) -> Iterator[ServedConsole]:
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    store.migrate()
    for each in fill:
        each(store)
    with served_console(store) as served:
        yield served
    store.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedConsole]:
    """A console over a store with a past and a campaign."""
    with _console(tmp_path_factory.mktemp("filled"), record_history, freeze_campaign) as served:
        yield served


def test_a_new_store_says_what_to_do_first(tmp_path: Path) -> None:
    """Without a campaign the page has the first steps, each as a command, and a link for whoever may freeze one."""
    with _console(tmp_path) as console:
        text = text_of(console.person("alice", READ).get("/"))
        found = [
            part for part in ("jwt-lp usage import", "jwt-lp grants import", "jwt-lp campaign freeze") if part in text
        ]
        assert 3 == len(found)
        assert 3 == text.count("to do")
        assert "Nothing is waiting for you" not in text
        pages = [console.person("a", READ, *more).get("/").body for more in ((), ("jwt-lp:review:apply",))]
        assert [False, True] == [b'href="/campaigns/new"' in each for each in pages]


def test_first_steps_are_ticked_off(tmp_path: Path) -> None:
    """What was recorded and imported is done, and the freshness of both is shown."""
    with _console(tmp_path, record_history) as console:
        text = text_of(console.person("alice", READ).get("/"))
    assert (2, 1) == (text.count("done "), text.count("to do"))
    assert f"Latest import of grants {day(1)} complete" in text


def test_the_overview_shows_granted_and_used(filled: ServedConsole) -> None:
    """The numbers of the latest review are text, with a picture of each beside them."""
    answer = filled.person("alice", READ).get("/")
    text = text_of(answer)
    expected = (
        "3 needed 33.3 %",
        "6 not needed",
        "4 dormant",
        "nothing is known before last year",
        "95 granted, 1 denied, 2 revoked",
    )
    assert list(expected) == [part for part in expected if part in text]
    facts = (
        "Days reviewed 2026-01-01 to 2026-11-01, recorded completely until unknown",
        "Rule a grant is unused after 90 days without use",
        "Expected to be needed again 0.4 of 6 proposed removals within 365 days; 2 have no likelihood",
    )
    assert list(facts) == [part for part in facts if part in text]
    pictures = ("share", "verdicts", "trend", "months", "tradeoff", "matrix")
    html = answer.body.decode()
    assert list(pictures) == [name for name in pictures if f'aria-labelledby="{name}-title {name}-text"' in html]


def test_the_overview_shows_open_campaigns_and_requests(filled: ServedConsole) -> None:
    """Campaigns have their progress and deadline; requests for elevation that wait are listed."""
    text = text_of(filled.person("alice", READ).get("/"))
    expected = ("1 of 3", "4 days left", "orders:delete waits for an answer", "Nothing is waiting for you")
    assert list(expected) == [part for part in expected if part in text]


def test_what_waits_for_a_reviewer_comes_first(filled: ServedConsole) -> None:
    """A reviewer who may only decide sees their own part with its deadline, and nothing else."""
    answer = filled.person("boss", "jwt-lp:review:decide").get("/")
    text = text_of(answer)
    assert "Waiting for you Decide about 2 items" in text
    assert f'href="/campaigns/{CAMPAIGN}/decide?part=boss"' in answer.body.decode()
    assert [] == [part for part in ("Granted and used", "How fresh", "Open campaigns") if part in text]


def test_an_approver_sees_the_requests_to_answer(filled: ServedConsole) -> None:
    """Requests that nobody's rule lets them decide about are not shown as theirs."""
    text = text_of(filled.person("carl", "jwt-lp:elevation:approve").get("/"))
    assert "Nothing is waiting for you" in text


def test_stale_data_is_said_to_be_stale(tmp_path: Path) -> None:
    """A service whose records are old comes first and is marked; one that just started has recorded nothing yet."""
    now = time.time()

    def old(store: Any) -> None:
        record_history(store)
        period = RecordingPeriod(id="old", service="old", started=now - 20 * 86400, until=now - 10 * 86400)
        store.record(UsageBatch(id="old", period=period))
        store.record_heartbeat(ProcessHeartbeat("p2", "new", "host", 1, 1, "", 70.0, now))

    with _console(tmp_path, old) as console:
        html = console.person("alice", READ).get("/").body.decode()
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    services = {row.split()[0]: row for row in rows}
    assert "old" == next(name for name in services if name in ("old", "new", "shop"))
    assert "not recent 0" in services["old"]
    assert re.fullmatch(r"new nothing yet 1 7\d seconds", services["new"])
    assert "not recent" not in services["shop"]


@pytest.mark.once
def test_a_summary_may_lack_members(tmp_path: Path) -> None:
    """What an older campaign did not count is left out of the page, whatever it is."""
    lacking = [(), *((name,) for name in SUMMARY), tuple(SUMMARY)]
    with _console(tmp_path, record_history) as console:
        for number, missing in enumerate(lacking):
            summary = {name: value for name, value in SUMMARY.items() if name not in missing}
            freeze_campaign(console.store, summary=summary, id_=f"{number:032}")
            answer = console.person("alice", READ).get("/")
            assert (200, True) == (answer.status, "Granted and used" in text_of(answer)), missing
            assert f'href="/campaigns/{number:032}"' in answer.body.decode()
    assert b'aria-labelledby="matrix-title' not in answer.body


def test_a_hostile_name_is_only_text(filled: ServedConsole) -> None:
    """The name of a campaign is escaped wherever it is shown."""
    html = filled.person("boss").get("/").body.decode()
    assert html.count("alert(1)") >= 3
    assert ("<script>", "\u202e") == tuple(part for part in ("<script>", "\u202e") if part not in html)
    assert HOSTILE not in html


def test_a_console_without_roles_does_not_judge_them(tmp_path: Path) -> None:
    """If the policy has no roles, the page of a role does not say that the role grants nothing."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    store.migrate()
    record_history(store)
    with served_console(store, policy=Policy()) as console:
        text = text_of(console.person("alice", READ).get("/role?name=clerk"))
    store.close()
    assert ("does not know what this role grants", False) == (
        next(part for part in ("does not know what this role grants", "") if part in text), "it grants nothing" in text,
    )  # fmt: skip


def test_nobody_else_sees_the_overview(filled: ServedConsole) -> None:
    """Another permission of the console is not enough."""
    assert 403 == filled.person("x", "jwt-lp:revocation:write").get("/").status


def test_a_frozen_campaign_has_its_numbers_on_the_overview(tmp_path: Path) -> None:
    """What the engine keeps of a real review, with its backtest, is what the overview and the role's page show."""
    with _console(tmp_path) as console:
        roles = dict.fromkeys(("ann", "bob", "dan"), "clerk")
        world = make_world(console.store, roles=roles)
        campaign = world.freeze(options=ReviewOptions(backtest=True))
        summary = world.engine.get(campaign).summary
        reader = console.person("alice", READ)
        overview, role = reader.get("/"), reader.get("/role?name=clerk")
    text = text_of(overview)
    shown = [f"{summary['standing']:,} in all", f"{summary['needed']:,} needed", *summary["notes"][:1]]
    assert shown == [part for part in shown if part in text + overview.body.decode()]
    html = overview.body.decode()
    pictures = ("share", "verdicts", "trend", "months", "tradeoff", "matrix")
    assert list(pictures) == [name for name in pictures if f'aria-labelledby="{name}-title {name}-text"' in html]
    cells = {grant: (members, users) for name, grant, members, users in summary["matrix"] if name == "clerk"}
    counted = [f"{users} of {members}" for members, users in cells.values()]
    assert counted
    assert counted == [part for part in counted if part in text_of(role)]
