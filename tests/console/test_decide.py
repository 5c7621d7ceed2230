"""Deciding in the console: previews, saving, conflicts, and everything that is refused, through HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.campaign_world import DECIDES, MAX, MIA, PEOPLE, READS, CampaignWorld, ago, hidden_fields, make_world
from console.serving import ServedConsole, served_console, text_of
from console.worksheet_upload import upload
from jwt_lp.stores import open_store
from jwt_lp.stores.campaigns import ItemFilter, WantedDecision


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CampaignWorld]:
    """A store with recorded use, in which each test freezes a campaign of its own."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('decide') / 'store.db'}")
    store.migrate()
    yield make_world(store)
    store.close()


@pytest.fixture(scope="module")
def served(world: CampaignWorld) -> Iterator[ServedConsole]:
    """The console over that store."""
    with served_console(world.store, people=PEOPLE) as served:
        yield served


def fields(*decided: tuple[Any, str], part: str = "mia", **more: object) -> dict[str, object]:
    """The fields of the form with these decisions, as the page shows them."""
    sent: dict[str, object] = {"part": part, "show": "open", "group": "", "after": "-1"}
    for item, decision in decided:
        sent |= {f"decision.{item.id}": decision, f"version.{item.id}": str(item.version)}
    return sent | more


def decisions(world: CampaignWorld, campaign: str) -> dict[tuple[str, str], str]:
    """What is decided, by holder and grant."""
    return {
        (item.finding["name"], item.finding["grant"]): item.decision.decision
        for item in world.store.campaign_items(ItemFilter(campaign=campaign, decided=True))
    }


def test_decisions_are_previewed_then_saved(world: CampaignWorld, served: ServedConsole) -> None:
    """A form leads to a preview that writes nothing, and the preview's form saves what it showed."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    keep, remove = world.item(campaign, "ann", "orders:create"), world.item(campaign, "bob", "orders:delete")
    sent = fields((keep, "keep"), (remove, "remove"), **{f"comment.{keep.id}": "she starts in March\u00a02027"})
    preview = mia.post(f"/campaigns/{campaign}/preview", sent)
    assert 200 == preview.status
    assert {} == decisions(world, campaign)
    shown = text_of(preview)
    assert "1 Keep" in shown or "Keep 1" in shown or "1 Remove" in shown
    assert "Would be taken back 1 item from 1 holder" in shown
    saved = mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode()))
    assert "2 decisions saved." in text_of(mia.follow(saved))
    expected = {("ann", "orders:create"): "keep", ("bob", "orders:delete"): "remove"}
    assert expected == decisions(world, campaign)
    made = world.item(campaign, "ann", "orders:create").decision
    assert ("she starts in March\u00a02027", "mia", "Mia Berg") == (made.comment, made.by.subject, made.by.name)


def test_a_decision_is_followed_from_the_audit_trail(world: CampaignWorld, served: ServedConsole) -> None:
    """An entry of a decision leads to its item, which says whose access it is."""
    campaign = world.freeze()
    item = world.item(campaign, "ann", "orders:create")
    served.person("mia", DECIDES).post(f"/campaigns/{campaign}/decide", fields((item, "keep")))
    olga = served.person("olga", "jwt-lp:review:read")
    address = f"/campaigns/{campaign}/items/{item.id}"
    assert f'href="{address}"' in olga.get(f"/audit?object={item.id}").body.decode()
    assert "Ann Lee orders:create" in text_of(olga.get(address))


def test_the_preview_says_what_breaks(world: CampaignWorld, served: ServedConsole) -> None:
    """The preview names endpoints, the last holder and the likelihood of need of what would be taken back."""
    campaign = world.untouched()
    item = world.item(campaign, "ann", "orders:delete")
    shown = text_of(served.person("mia", DECIDES).post(f"/campaigns/{campaign}/preview", fields((item, "remove"))))
    assert "Ann Lee: orders:delete" in shown
    assert "GET views.orders:delete" in shown
    assert "the last holder" in shown
    assert "Expected to be needed again" in shown


def test_an_item_says_why_it_is_proposed(world: CampaignWorld, served: ServedConsole) -> None:
    """The list shows who, what, by which way, why, how likely need is, and the time line in words."""
    campaign = world.untouched()
    answer = served.person("mia", DECIDES).get(f"/campaigns/{campaign}/decide?part=mia")
    shown = text_of(answer)
    for text in (
        "Ann Lee orders:delete unused", "team Sales", "manager mia", "granted directly", "Proposed: remove.",
        "500 days ago", "very unlikely (9 %", "Held back: last holder", "6 grants of 2 holders",
    ):  # fmt: skip
        assert text in shown, text
    assert re.search(r'role="img" aria-label="held since [0-9-]+, last used on [0-9-]+"', answer.body.decode())


def test_a_group_is_decided_at_once_but_not_what_somebody_decided(world: CampaignWorld, served: ServedConsole) -> None:
    """One decision covers the open members of a group; a member with a decision of its own keeps that."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    kept = world.item(campaign, "eve", "orders:read")
    wanted = WantedDecision(item=kept.id, decision="keep", version=0)
    world.engine.decide(MIA, campaign, [wanted], part="mia")
    sent = fields(**{f"decision.G{kept.group}": "remove", f"comment.G{kept.group}": "left in May"})
    preview = mia.post(f"/campaigns/{campaign}/preview", sent)
    assert "Save 5 decisions" in text_of(preview)
    mia.follow(mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode())))
    made = [each.decision for each in world.items(campaign) if each.group]
    assert ["keep", *["remove"] * 5] == sorted(each.decision for each in made)
    assert {kept.group} == {each.group for each in made if each.decision == "remove"}


def test_a_group_that_changed_since_the_preview_is_shown_again(world: CampaignWorld, served: ServedConsole) -> None:
    """If a member is decided about between preview and saving, nothing is saved, and the preview comes again."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    member = world.item(campaign, "eve", "orders:read")
    preview = mia.post(f"/campaigns/{campaign}/preview", fields(**{f"decision.G{member.group}": "remove"}))
    world.engine.decide(MIA, campaign, [WantedDecision(item=member.id, decision="keep", version=0)], part="mia")
    again = mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode()))
    assert 409 == again.status
    assert "Save 5 decisions" in text_of(again)
    assert {("eve", "orders:read"): "keep"} == decisions(world, campaign)
    mia.follow(mia.post(f"/campaigns/{campaign}/decide", hidden_fields(again.body.decode())))
    assert 6 == len(decisions(world, campaign))


def test_many_items_get_one_decision_without_a_script(world: CampaignWorld, served: ServedConsole) -> None:
    """A link ticks every item of the page, and one choice holds for all that are ticked."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    page = mia.get(f"/campaigns/{campaign}/decide?part=mia&tick=all").body.decode()
    ticked = re.findall(r'name="tick" value="([0-9a-f]+)" checked', page)
    versions = dict(re.findall(r'name="(version\.[0-9a-f]+)" value="(\d+)"', page))
    assert 4 == len(ticked)
    sent = fields(**versions, tick=ticked, all_decision="exempt", all_until=ago(-300), all_comment="audit first")
    preview = mia.post(f"/campaigns/{campaign}/preview", sent)
    assert "Save 4 decisions" in text_of(preview)
    mia.follow(mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode())))
    made = [each.decision for each in world.items(campaign) if each.decision]
    assert {("exempt", ago(-300), "audit first")} == {(each.decision, each.until, each.comment) for each in made}


def test_a_decision_is_taken_back(world: CampaignWorld, served: ServedConsole) -> None:
    """As long as the campaign is open, a decided item can be opened again."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    world.engine.decide(MIA, campaign, [WantedDecision(item=item.id, decision="keep", version=0)], part="mia")
    page = text_of(mia.get(f"/campaigns/{campaign}/decide?part=mia&show=decided"))
    assert re.search("Decided: keep ?, by Mia Berg", page)
    assert "Take back" in page
    sent = fields((world.item(campaign, "ann", "orders:create"), "undo"), show="decided")
    preview = mia.post(f"/campaigns/{campaign}/preview", sent)
    mia.follow(mia.post(f"/campaigns/{campaign}/decide", hidden_fields(preview.body.decode())))
    assert {} == decisions(world, campaign)
    trail = text_of(served.person("olga", "jwt-lp:review:read").get(f"/audit?object={item.id}"))
    assert re.search("decision taken back .*before keep.* decision keep", trail)


@pytest.mark.parametrize(
    ("decision", "more", "fault"),
    [
        ("exempt", {}, "An exemption needs a last day"),
        ("exempt", {"until": "2026-02-31"}, "An exemption needs a last day"),
        ("keep", {"comment": "x" * 1001}, "at most 1,000 characters"),
        ("grant", {}, "This is no decision"),
        ("keep", {"version": "9" * 40}, "which version"),
    ],
    ids=["no day", "no such day", "long comment", "no decision", "huge version"],
)
def test_an_incomplete_decision_comes_back_as_it_was_typed(
    world: CampaignWorld, served: ServedConsole, decision: str, more: dict[str, str], fault: str
) -> None:
    """A fault is shown at its item, the other answers stay in the form, and nothing is written."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    item, other = world.item(campaign, "ann", "orders:create"), world.item(campaign, "bob", "orders:create")
    sent = fields((item, decision), (other, "remove")) | {f"{name}.{item.id}": text for name, text in more.items()}
    for path in ("preview", "decide"):
        answer = mia.post(f"/campaigns/{campaign}/{path}", sent)
        assert 422 == answer.status
        html = answer.body.decode()
        assert fault in text_of(answer)
        assert f'id="fault-{item.id}"' in html
        assert f'name="decision.{other.id}" value="remove" checked' in html
    assert {} == decisions(world, campaign)


def test_an_exemption_in_the_past_is_refused_with_the_answers_kept(world: CampaignWorld, served: ServedConsole) -> None:
    """What only the engine knows to be wrong comes back in the form, too."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    answer = mia.post(f"/campaigns/{campaign}/decide", fields((item, "exempt"), **{f"until.{item.id}": "2020-01-01"}))
    assert 422 == answer.status
    assert 'value="2020-01-01"' in answer.body.decode()
    assert "2020-01-01" in text_of(answer)
    assert {} == decisions(world, campaign)


def test_back_from_the_preview_loses_nothing(world: CampaignWorld, served: ServedConsole) -> None:
    """The way back shows the form with every answer, quotes and no-break spaces included."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    comment = 'needs "it"\u00a0& <b>'
    preview = mia.post(f"/campaigns/{campaign}/preview", fields((item, "keep"), **{f"comment.{item.id}": comment}))
    back = mia.post(f"/campaigns/{campaign}/preview", hidden_fields(preview.body.decode()) | {"step": "back"})
    html = back.body.decode()
    assert f'name="decision.{item.id}" value="keep" checked' in html
    assert 'value="needs &#34;it&#34;\u00a0&amp; &lt;b&gt;"' in html


def test_an_empty_form_says_what_to_do(world: CampaignWorld, served: ServedConsole) -> None:
    """A form without a decision, or with a choice for no ticked item, explains itself."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    assert "Nothing was decided" in text_of(mia.post(f"/campaigns/{campaign}/preview", fields()))
    answer = mia.post(f"/campaigns/{campaign}/preview", fields(all_decision="keep"))
    assert "Tick the items" in text_of(answer)


def test_a_decision_on_the_page_of_an_item_comes_back_there(world: CampaignWorld, served: ServedConsole) -> None:
    """A faulty decision from an item's own page comes back in a list that begins with the item."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    item = world.items(campaign)[-1]
    page = mia.get(f"/campaigns/{campaign}/items/{item.id}").body.decode()
    assert f'name="decision.{item.id}" value="remove"' in page
    sent = hidden_fields(page) | {f"decision.{item.id}": "exempt"}
    answer = mia.post(f"/campaigns/{campaign}/preview", sent)
    assert 422 == answer.status
    assert f'id="fault-{item.id}"' in answer.body.decode()
    again = mia.post(f"/campaigns/{campaign}/preview", sent | {f"until.{item.id}": ago(-300)})
    assert "Save 1 decision" in text_of(again)


def test_what_was_decided_the_last_time_is_shown(world: CampaignWorld, served: ServedConsole) -> None:
    """An item says what became of it in earlier campaigns, and who decided."""
    campaign, mia = world.freeze("Q3"), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    wanted = WantedDecision(item=item.id, decision="keep", version=0, comment="new project")
    world.engine.decide(MIA, campaign, [wanted], part="mia")
    shown = text_of(mia.get(f"/campaigns/{world.freeze('Q4')}/decide?part=mia"))
    assert re.search(r"Earlier campaigns Q3 of [0-9-]+ ?: keep ?, by Mia Berg at [0-9: -]+UTC ?: new project", shown)


# Concurrency


def test_what_somebody_decided_meanwhile_is_shown_and_decided_again_knowingly(
    world: CampaignWorld, served: ServedConsole
) -> None:
    """A conflict shows who decided what and when; the other decisions are saved, and one's own can replace it."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    item, other = world.item(campaign, "ann", "orders:create"), world.item(campaign, "bob", "orders:create")
    operator = replace(MIA, issuer="", subject="ops", name="Olga Ops")
    world.engine.decide(
        operator, campaign, [WantedDecision(item=item.id, decision="keep", version=0, comment="quarter end")],
        part="mia",
    )  # fmt: skip
    answer = mia.post(f"/campaigns/{campaign}/decide", fields((item, "remove"), (other, "remove")))
    assert 409 == answer.status
    shown = text_of(answer)
    assert "1 decision saved." in shown
    assert re.search(r"Now: keep ?, by Olga Ops at [0-9: -]+UTC ?: quarter end", shown)
    assert "Yours: remove" in shown
    assert {("ann", "orders:create"): "keep", ("bob", "orders:create"): "remove"} == decisions(world, campaign)
    sent = hidden_fields(answer.body.decode()) | {f"decision.{item.id}": "remove"}
    assert "1 decision saved." in text_of(mia.follow(mia.post(f"/campaigns/{campaign}/decide", sent)))
    assert "remove" == decisions(world, campaign)["ann", "orders:create"]


def test_an_answer_about_what_is_no_longer_listed_is_not_lost(world: CampaignWorld, served: ServedConsole) -> None:
    """An item that somebody else decided meanwhile is not in the list that comes back, but one's answer is."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    preview = mia.post(f"/campaigns/{campaign}/preview", fields((item, "remove")))
    world.engine.decide(MIA, campaign, [WantedDecision(item=item.id, decision="keep", version=0)], part="mia")
    back = mia.post(f"/campaigns/{campaign}/preview", hidden_fields(preview.body.decode()) | {"step": "back"})
    assert "1 decision of yours about items that are no longer on this page" in text_of(back)
    answer = mia.post(f"/campaigns/{campaign}/decide", hidden_fields(back.body.decode()))
    assert "Your decisions about them were not saved." in text_of(answer)


def test_of_many_forms_at_once_one_wins_and_the_others_are_told(world: CampaignWorld, served: ServedConsole) -> None:
    """Decisions about the same version of an item that arrive together: one is stored, no other overwrites it unseen."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    path = f"/campaigns/{campaign}/decide"
    sent = [fields((item, "keep"), **{f"comment.{item.id}": f"window {number}"}) for number in range(6)]
    with ThreadPoolExecutor(len(sent)) as pool:
        answers = list(pool.map(lambda one: mia.post(path, one), sent))
    assert [303, *[409] * 5] == sorted(each.status for each in answers)
    now = world.item(campaign, "ann", "orders:create")
    winner = [each.status for each in answers].index(303)
    assert (1, f"window {winner}") == (now.version, now.decision.comment)
    assert all(f"window {winner}" in text_of(each) for each in answers if each.status == 409)


def test_the_same_form_sent_twice_is_no_conflict(world: CampaignWorld, served: ServedConsole) -> None:
    """A second click does not show one's own decision as somebody else's."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    sent = fields((item, "keep"))
    for saved in ("1 decision saved.", "0 decisions saved."):
        assert saved in text_of(mia.follow(mia.post(f"/campaigns/{campaign}/decide", sent)))


def test_use_since_the_freeze_is_marked(tmp_path: Path) -> None:
    """An item that was used after the freeze says so, in the list and in the preview."""
    store = open_store(f"sqlite:///{tmp_path / 'used.db'}")
    store.migrate()
    world = make_world(store)
    campaign = world.freeze()
    world.record_use("bob", "orders:create", 0)
    with served_console(store, people=PEOPLE) as served:
        mia = served.person("mia", DECIDES)
        assert "Used since the freeze:" in text_of(mia.get(f"/campaigns/{campaign}/decide?part=mia"))
        item = world.item(campaign, "bob", "orders:create")
        shown = text_of(mia.post(f"/campaigns/{campaign}/preview", fields((item, "remove"))))
    assert "Used since the freeze 1" in shown
    store.close()


# Attacks


def test_another_reviewers_part_is_not_shown_and_not_named(world: CampaignWorld, served: ServedConsole) -> None:
    """A reviewer gets the same answer for another one's part and for a part that does not exist."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    answers = [mia.get(f"/campaigns/{campaign}/decide?part={part}") for part in ("max", "nobody", "")]
    assert [403] * 3 == [each.status for each in answers]
    assert 1 == len({text_of(each) for each in answers})
    assert "Dan Kay" not in answers[0].body.decode()


def test_another_reviewers_item_is_not_shown(world: CampaignWorld, served: ServedConsole) -> None:
    """The page of an item is for its reviewer; an id that does not exist is answered alike."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    foreign = world.item(campaign, "dan", "orders:create").id
    answers = [mia.get(f"/campaigns/{campaign}/items/{each}") for each in (foreign, "0" * 16, "%00", "x" * 4000)]
    assert {403} == {each.status for each in answers}
    assert 1 == len({text_of(each) for each in answers})


@pytest.mark.parametrize("part", ["mia", "max"])
@pytest.mark.parametrize("path", ["preview", "decide"])
def test_another_reviewers_item_is_not_decided_about(
    world: CampaignWorld, served: ServedConsole, part: str, path: str
) -> None:
    """An item of another part is refused, under its own part's name and under the reviewer's."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    item = world.item(campaign, "dan", "orders:create")
    answer = mia.post(f"/campaigns/{campaign}/{path}", fields((item, "remove"), part=part))
    assert answer.status in (403, 404)
    assert "Dan Kay" not in answer.body.decode()
    assert {} == decisions(world, campaign)


def test_a_group_of_another_part_is_not_decided_about(world: CampaignWorld, served: ServedConsole) -> None:
    """The id of another reviewer's group reaches none of its members."""
    campaign, most = world.untouched(), served.person("max", DECIDES)
    group = world.item(campaign, "eve", "orders:read").group
    sent = fields(part="max", **{f"decision.G{group}": "remove"})
    for path in ("preview", "decide"):
        answer = most.post(f"/campaigns/{campaign}/{path}", sent)
        assert "Eve Fox" not in answer.body.decode()
    assert {} == decisions(world, campaign)


def test_an_auditor_reads_every_part_and_decides_about_none(world: CampaignWorld, served: ServedConsole) -> None:
    """Reading is no deciding: there is no form, and a form that is sent anyway is refused."""
    campaign, auditor = world.untouched(), served.person("ira", READS)
    page = auditor.get(f"/campaigns/{campaign}/decide?part=mia").body.decode()
    assert "Ann Lee" in page
    assert "decision." not in page
    item = world.item(campaign, "ann", "orders:create")
    for path in ("preview", "decide"):
        assert 403 == auditor.post(f"/campaigns/{campaign}/{path}", fields((item, "remove"))).status
    both = served.person("ira", READS, DECIDES)
    assert 403 == both.post(f"/campaigns/{campaign}/decide", fields((item, "remove"))).status
    assert {} == decisions(world, campaign)


def test_a_forged_form_is_refused(world: CampaignWorld, served: ServedConsole) -> None:
    """A form of another site, without the CSRF token, or with another session's, changes nothing."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    sent, path = fields((item, "remove")), f"/campaigns/{campaign}/decide"
    forged = [
        mia.post(path, sent, Sec_Fetch_Site="cross-site", Origin="https://evil.test"),
        mia.post(path, sent | {"csrf_token": ""}),
        mia.post(path, sent | {"csrf_token": served.person("max", DECIDES).csrf_token}),
    ]
    assert [403] * 3 == [each.status for each in forged]
    assert {} == decisions(world, campaign)


def test_nobody_decides_about_themselves(world: CampaignWorld, served: ServedConsole) -> None:
    """A part that was given to somebody whose own access it has: the rest is decided, one's own is not."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    version = next(each.version for each in world.engine.parts(campaign) if each.name == "max")
    world.engine.delegate(MAX, campaign, "max", MIA, version=version)
    own = world.item(campaign, "mia", "orders:delete")
    page = mia.get(f"/campaigns/{campaign}/decide?part=max").body.decode()
    assert "somebody else has to decide" in page
    assert f"decision.{own.id}" not in page
    for decision in ("keep", "remove", "exempt"):
        sent = fields((own, decision), part="max", **{f"until.{own.id}": ago(-300)})
        assert 403 == mia.post(f"/campaigns/{campaign}/decide", sent).status
    ticked = fields(part="max", tick=[own.id], all_decision="keep", **{f"version.{own.id}": "0"})
    assert 403 == mia.post(f"/campaigns/{campaign}/decide", ticked).status
    assert {} == decisions(world, campaign)


def test_nobody_decides_about_themselves_by_a_worksheet(world: CampaignWorld, served: ServedConsole) -> None:
    """A worksheet with one's own row in it is refused as a whole."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    version = next(each.version for each in world.engine.parts(campaign) if each.name == "max")
    world.engine.delegate(MAX, campaign, "max", MIA, version=version)
    rows = world.engine.worksheet(campaign, "max").text.splitlines()
    filled = "\r\n".join(
        [rows[0], *(re.sub(r'^("F[0-9a-f]+"),"","","",', r'\1,"keep","","Mia",', row) for row in rows[1:])]
    )
    answer = upload(mia, campaign, "max", filled)
    assert answer.status in (403, 422)
    assert {} == decisions(world, campaign)


@pytest.mark.parametrize("end", ["closed", "cancelled"])
def test_a_campaign_that_ended_changes_no_more(world: CampaignWorld, served: ServedConsole, end: str) -> None:
    """A page that was opened before the end can still be sent, but nothing of it is written."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    item = world.item(campaign, "ann", "orders:create")
    if end == "closed":
        world.engine.close(MAX, campaign, early=True)
    else:
        world.engine.cancel(MAX, campaign, reason="a test")
    before = decisions(world, campaign)
    for path in ("preview", "decide"):
        answer = mia.post(f"/campaigns/{campaign}/{path}", fields((item, "remove")))
        assert answer.status in (403, 409)
        assert end in text_of(answer)
    assert before == decisions(world, campaign)
    assert f"The campaign is {end}" in text_of(mia.get(f"/campaigns/{campaign}/decide?part=mia"))


@pytest.mark.parametrize(
    "path",
    ["decide?part=mia", "items/0000000000000000", "worksheet", "worksheet/upload?part=mia", "close", ""],
)
def test_an_unknown_campaign_is_not_found(served: ServedConsole, path: str) -> None:
    """Every page of a campaign that does not exist is a 404, not a failure."""
    person = served.person("root")
    for name in ("f" * 32, "..%2f..", "x" * 3000, "%F0%9F%92%A9"):
        assert 404 == person.get(f"/campaigns/{name}/{path}".rstrip("/")).status, name


def test_a_huge_form_is_refused(world: CampaignWorld, served: ServedConsole) -> None:
    """More answers than a page can have, and more bytes than a form may have, are refused before any work."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    many = fields(**{f"decision.{number:016x}": "keep" for number in range(1000)})
    assert 422 == mia.post(f"/campaigns/{campaign}/preview", many).status
    assert 413 == mia.post(f"/campaigns/{campaign}/preview", fields(padding="x" * 2_000_000)).status
    assert 400 == mia.post(f"/campaigns/{campaign}/preview", fields(after="9" * 400)).status
    assert 400 == mia.post(f"/campaigns/{campaign}/preview", fields(show="<b>")).status
