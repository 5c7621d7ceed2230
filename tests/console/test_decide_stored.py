"""What the Decide pages store: the same as a worksheet, of hostile names too, and nothing about oneself."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.campaign_world import DECIDES, ENGINEER, MIA, PEOPLE, CampaignWorld, ago, hidden_fields, make_world
from console.hand_made import finding_of, hand_made
from console.serving import Person, ServedConsole, served_console, text_of
from jwt_lp.campaigns.finding_json import finding_to_json
from jwt_lp.review.findings import Reason, ScorePart
from jwt_lp.stores import open_store
from jwt_lp.stores.audit import WantedEntry
from jwt_lp.stores.campaigns import CampaignItem, CampaignPart


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CampaignWorld]:
    """A store with recorded use."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('stored') / 'store.db'}")
    store.migrate()
    yield make_world(store)
    store.close()


@pytest.fixture(scope="module")
def served(world: CampaignWorld) -> Iterator[ServedConsole]:
    """The console over that store."""
    with served_console(world.store, people=PEOPLE) as served:
        yield served


def decide(mia: Person, campaign: str, sent: dict[str, object]) -> Any:
    """Preview and save."""
    preview = mia.post(f"/campaigns/{campaign}/preview", {"part": "mia"} | sent)
    assert 200 == preview.status, text_of(preview)
    return mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode()))


def test_the_pages_store_what_the_worksheet_stores(tmp_path: Any) -> None:
    """Decided through the pages, or imported from the worksheet of that: the same rows, and the same plan."""
    now = time.time() + 60
    campaigns: list[str] = []
    worlds: list[CampaignWorld] = []
    for name in ("pages", "worksheet"):
        store = open_store(f"sqlite:///{tmp_path / name}.db")
        store.migrate()
        # Both freeze at the same moment, with the same id.
        one = make_world(store, clock=lambda: now, new_id=lambda: "c" * 32)
        worlds.append(one)
        campaigns.append(one.freeze())
    pages, other = worlds
    campaign = campaigns[0]
    with served_console(pages.store, people=PEOPLE, clock=lambda: now) as served:
        mia, most = served.person("mia", DECIDES), served.person("max", DECIDES)
        group = pages.item(campaign, "eve", "orders:read").group
        exempt, kept = pages.item(campaign, "ann", "orders:create"), pages.item(campaign, "bob", "orders:create")
        sent: dict[str, object] = {
            f"decision.G{group}": "remove", f"comment.G{group}": "both left",
            f"decision.{exempt.id}": "exempt", f"until.{exempt.id}": ago(-300), f"version.{exempt.id}": "0",
            f"decision.{kept.id}": "keep", f"comment.{kept.id}": '=1+1 "x", ünï', f"version.{kept.id}": "0",
        }  # fmt: skip
        assert 303 == decide(mia, campaign, sent).status
        own = [each for each in pages.items(campaign, "max") if each.finding.name == "dan"]
        for each in own:
            sent = {"part": "max", f"decision.{each.id}": "remove", f"version.{each.id}": "0"}
            assert 303 == most.post(f"/campaigns/{campaign}/decide", sent).status
        for person, part in ((MIA, "mia"), (replace(MIA, subject="max", name="Max Holm"), "max")):
            text = served.person(person.subject, DECIDES).get(f"/campaigns/{campaign}/worksheet?part={part}&file=csv")
            other.engine.read_worksheet(person, campaign, text.body.decode(), part=part)
    assert _rows(pages, campaign) == _rows(other, campaign)
    assert 10 == sum(each.decision is not None for each in pages.items(campaign, None))
    for one in worlds:
        one.engine.close(ENGINEER, campaign, early=True)
    assert pages.engine.plan(campaign).hash == other.engine.plan(campaign).hash
    for one in worlds:
        one.store.close()


def _rows(world: CampaignWorld, campaign: str) -> list[tuple[Any, ...]]:
    """The stored decisions; who decided and when is the same, too."""
    return [(each.id, each.part, each.position, each.decision) for each in world.items(campaign, None)]


HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "attribute": '" onfocus="alert(1)" autofocus x="',
    "template": "{{ 7*7 }}{% raw %}",
    "formula": '=HYPERLINK("https://evil.test","x")',
    "bidi": "anna\u202enimda\u2066",
    "control": "a\x1b[2Jb\rc\nd",
    "long": "n" * 256,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_names_stay_text(world: CampaignWorld, served: ServedConsole, kind: str) -> None:
    """Names, teams, comments and campaigns that are made to attack appear as text on every page, and can be decided."""
    name, number = HOSTILE[kind], 1000 + list(HOSTILE).index(kind)
    finding = finding_of(
        number, name, name, role=name, person_name=name, team=name, manager=name, reason=name, guards=(name,),
        others=(name,), instead=(name,), likelihood=0.2, because=(Reason("idle", "for", -1.0, name),),
        score_parts=(ScorePart("risk", 1, 40, name),),
    )  # fmt: skip
    campaign = hand_made(world, number, finding, name=name)
    mia, root = served.person("mia", DECIDES), served.person("root")
    sent = {"part": "mia", f"decision.{finding.id}": "keep", f"version.{finding.id}": "0",
            f"comment.{finding.id}": name.replace("\n", " ").replace("\r", " ")}  # fmt: skip
    answers = [
        mia.get("/campaigns"),
        mia.get(f"/campaigns/{campaign}/decide?part=mia"),
        root.get(f"/campaigns/{campaign}"),
        root.get(f"/campaigns/{campaign}/items/{finding.id}"),
        root.get(f"/campaigns/{campaign}/close"),
        mia.post(f"/campaigns/{campaign}/preview", sent),
        mia.follow(mia.post(f"/campaigns/{campaign}/decide", sent)),
        mia.get(f"/campaigns/{campaign}/decide?part=mia&show=decided"),
    ]
    for answer in answers:
        assert 200 == answer.status, text_of(answer)
        # What a field holds is sent again as it is; a browser shows nothing of a hidden one.
        html = re.sub(r'<input type="hidden"[^>]*>', "", answer.body.decode())
        for raw in ("<script>alert", 'onfocus="alert', "49{", "\u202e", "\u2066", "\x1b"):
            assert raw not in html
    assert ["keep"] == [each.decision.decision for each in world.items(campaign, decided=True)]
    sheet = mia.get(f"/campaigns/{campaign}/worksheet?part=mia&file=csv").body.decode()
    assert not re.search(r'(^|,)"?[=+@\t]', sheet, re.MULTILINE)


def test_a_role_that_one_has_is_not_kept_by_oneself(tmp_path: Any) -> None:
    """A grant of one's own role may be removed by its holder, but not kept, narrowed or exempted."""
    store = open_store(f"sqlite:///{tmp_path / 'roles.db'}")
    store.migrate()
    world = make_world(store, roles={"mia": "manager"})
    role = finding_of(77, "manager", "orders:*", of="role", kind="role", members=3, instead=("orders:read",))
    campaign = hand_made(world, 77, role)
    with served_console(store, people=PEOPLE) as served:
        mia = served.person("mia", DECIDES)
        for decision in ("keep", "exempt", "narrow"):
            sent = {"part": "mia", f"decision.{role.id}": decision, f"version.{role.id}": "0",
                    f"until.{role.id}": ago(-300)}  # fmt: skip
            answer = mia.post(f"/campaigns/{campaign}/decide", sent)
            assert 403 == answer.status
            assert "a role that they have themselves" in text_of(answer)
        assert () == world.items(campaign, decided=True)
        assert 303 == decide(mia, campaign, {f"decision.{role.id}": "remove", f"version.{role.id}": "0"}).status
    store.close()


def test_one_s_own_member_of_a_group_stays_open(world: CampaignWorld, served: ServedConsole) -> None:
    """A group decision by one of its holders covers the others, and says that one's own is left out."""
    leavers = [finding_of(80 + place, name, verdict="leaver") for place, name in enumerate(("eve", "mia", "fay"))]
    campaign = hand_made(world, 80)
    group = {"id": "a" * 16, "what": "held by people who have left", "findings": [each.id for each in leavers],
             "holders": 3, "likelihood": None, "expected": 0.0}  # fmt: skip
    campaign = f"{81:032x}"
    value = replace(world.engine.get(f"{80:032x}"), id=campaign)
    items = [
        CampaignItem(campaign=campaign, id=each.id, part="mia", position=position, group="a" * 16,
                     finding=finding_to_json(each))
        for position, each in enumerate(leavers)
    ]  # fmt: skip
    entry = WantedEntry(actor=ENGINEER, at=1.0, action="frozen", campaign=campaign)
    part = CampaignPart(campaign=campaign, name="mia", reviewer=MIA)
    world.store.add_campaign(value, [part], items, [("mia", group)], entry)
    mia = served.person("mia", DECIDES)
    preview = mia.post(f"/campaigns/{campaign}/preview", {"part": "mia", f"decision.G{'a' * 16}": "remove"})
    assert "Left out: 1 item about your own access" in text_of(preview)
    mia.follow(mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode())))
    assert ["eve", "fay"] == sorted(each.finding.name for each in world.items(campaign, decided=True))


def test_a_session_that_ends_in_the_middle_loses_nothing(world: CampaignWorld, served: ServedConsole) -> None:
    """The answers come back with the sign-in, and are saved when they are sent again."""
    campaign = world.freeze()
    item = world.item(campaign, "ann", "orders:create")
    sent = {"part": "mia", f"decision.{item.id}": "keep", f"version.{item.id}": "0", f"comment.{item.id}": "for Q1"}
    ended = served.person("mia", DECIDES).post(f"/campaigns/{campaign}/decide", sent, Cookie="other=1")
    assert 401 == ended.status
    again = served.person("mia", DECIDES).post(f"/campaigns/{campaign}/decide", hidden_fields(ended.body.decode()))
    assert 303 == again.status
    assert "for Q1" == world.item(campaign, "ann", "orders:create").decision.comment
