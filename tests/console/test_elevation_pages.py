"""Elevations in the console: the inbox of those who decide, and what the rules let each of them do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("sqlalchemy")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from console.serving import ISSUER, POLICY, Person, ServedConsole, served_console, text_of
from hosts.serving import HttpAnswer
from jwt_lp import Policy
from jwt_lp.elevation.elevations import Elevations
from jwt_lp.elevation.identities import Operator
from jwt_lp.stores import AuditFilter, Elevation, open_store

INBOX = "jwt-lp:elevation:approve"
READ = "jwt-lp:review:read"


@dataclass
class Inbox:
    """A console over requests for `orders:delete`, about which holders of `orders:create` decide."""

    console: ServedConsole
    engine: Elevations

    def ask(self, subject: str = "ana", **more: Any) -> Elevation:
        """A request of a subject."""
        return self.engine.request(Operator(ISSUER, subject), "orders:delete", **{"reason": "tax audit", **more})

    def approver(self, name: str = "cleo") -> Person:
        """Somebody who may decide, in a session of their own."""
        return self.console.person(name, INBOX, "orders:create")

    def decide(self, person: Person, elevation: Elevation, action: str, **fields: str) -> HttpAnswer:
        """The form of the elevation's page."""
        path = f"/elevations/{elevation.id}"
        return person.post(f"{path}/{action}", {"digest": elevation.digest, "reason": "", **fields})

    def state(self, elevation: Elevation) -> str:
        """The state of an elevation now."""
        found = self.engine.store.elevation(elevation.id)
        return "" if found is None else found.state(self.engine.now())


@contextmanager
def inbox_of(folder: Any, rule: dict[str, Any], **options: Any) -> Iterator[Inbox]:
    policy = Policy.from_mapping({**POLICY, "elevation": {"orders:delete": rule}})
    store = open_store(f"sqlite:///{folder}/a.db")
    store.migrate()
    with served_console(store, policy=policy, **options) as console:
        yield Inbox(console, Elevations(policy, store))
    store.close()


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with inbox_of(
        tmp_path_factory.mktemp("inbox"), {"ask": ["subject:ana", "subject:ben"], "approve": "orders:create"}
    ) as found:
        yield found


def digest_of(answer: HttpAnswer) -> str:
    match = re.search(r'name="digest" value="([^"]*)"', answer.body.decode())
    return unescape(match[1]) if match else ""


def test_a_request_is_seen_and_approved(inbox: Inbox) -> None:
    """The approver finds it in the inbox, approves what the page showed, and the trail says so."""
    asked, cleo = inbox.ask(), inbox.approver()
    assert "orders:delete" in text_of(cleo.get("/elevations"))
    shown = cleo.get(f"/elevations/{asked.id}")
    assert (asked.digest, True) == (digest_of(shown), "tax audit" in text_of(shown))
    answer = cleo.follow(inbox.decide(cleo, asked, "approve", reason="fine"))
    assert ("approved", True) == (inbox.state(asked), "Approved." in text_of(answer))
    assert asked.id in cleo.get("/elevations?list=held").body.decode()
    (entry,) = inbox.console.store.audit_entries(AuditFilter(object=asked.id))
    assert ("approved", "cleo", asked.digest, "fine") == (
        entry.action, entry.actor.subject, entry.details["digest"], entry.details["reason"]
    )  # fmt: skip


def test_two_approvals_where_the_rule_wants_two(tmp_path: Any) -> None:
    """The first approver is told that another one is needed."""
    rule = {"ask": ["subject:ana"], "approve": "orders:create", "approvals": 2}
    with inbox_of(tmp_path, rule) as inbox:
        asked, cleo, dora = inbox.ask(), inbox.approver("cleo"), inbox.approver("dora")
        assert "Approved. 1 more needed." in text_of(cleo.follow(inbox.decide(cleo, asked, "approve")))
        assert (409, "requested") == (inbox.decide(cleo, asked, "approve").status, inbox.state(asked))
        assert (303, "approved") == (inbox.decide(dora, asked, "approve").status, inbox.state(asked))


def test_it_is_ended_before_its_time(inbox: Inbox) -> None:
    """What is held is ended by whoever may decide."""
    asked, cleo = inbox.ask(), inbox.approver()
    inbox.decide(cleo, asked, "approve")
    assert (303, "ended") == (inbox.decide(cleo, asked, "end", reason="done").status, inbox.state(asked))


def test_attack_nobody_approves_a_request_of_their_own(inbox: Inbox) -> None:
    """The asker holds the permission that decides, too: the page offers nothing, and a forged form is refused."""
    asked, ana = inbox.ask("ana"), inbox.approver("ana")
    shown = text_of(ana.get(f"/elevations/{asked.id}"))
    assert ("Approve it" in shown, "Withdraw the request" in shown) == (False, True)
    assert asked.id in ana.get("/elevations?list=own").body.decode()
    answer = inbox.decide(ana, asked, "approve")
    assert (403, True, "requested") == (
        answer.status, "nobody decides about a request of their own" in text_of(answer), inbox.state(asked)
    )  # fmt: skip
    assert [] == [*inbox.console.store.audit_entries(AuditFilter(object=asked.id))]


def test_attack_without_the_permission_that_decides_nothing_is_seen(inbox: Inbox) -> None:
    """The permission of the inbox alone shows no request and decides nothing; whoever reads everything sees it only."""
    asked = inbox.ask()
    other, reader = inbox.console.person("eve", INBOX), inbox.console.person("rob", READ)
    both = inbox.console.person("ron", READ, INBOX)
    assert asked.id not in other.get("/elevations").body.decode()
    asker = inbox.console.person("ana", READ, "orders:create")
    assert "" == digest_of(asker.get(f"/elevations/{asked.id}"))
    assert [404, 200, 200] == [person.get(f"/elevations/{asked.id}").status for person in (other, reader, both)]
    answers = [
        inbox.decide(person, asked, action).status for person in (other, reader, both) for action in ("approve", "deny")
    ]
    assert ([404, 404, 403, 403, 403, 403], "requested") == (answers, inbox.state(asked))


def test_attack_a_form_for_another_request_is_refused(inbox: Inbox) -> None:
    """An approval holds for what the page has shown alone."""
    asked, other, cleo = inbox.ask(), inbox.ask(reason="something else"), inbox.approver()
    answers = [inbox.decide(cleo, asked, "approve", digest=digest).status for digest in (other.digest, "", "x" * 9000)]
    assert ([409] * 3, "requested") == (answers, inbox.state(asked))


def test_attack_a_form_that_is_sent_twice_counts_once(inbox: Inbox) -> None:
    """The second of two equal forms changes nothing, and says why."""
    asked, cleo = inbox.ask(), inbox.approver()
    assert [303, 409] == [inbox.decide(cleo, asked, "deny").status for _ in range(2)]
    assert 1 == len([*inbox.console.store.audit_entries(AuditFilter(object=asked.id))])


def test_attack_a_reason_is_shown_as_text(inbox: Inbox) -> None:
    """Markup in a reason is escaped, and control characters and long texts are refused."""
    asked, cleo = inbox.ask(reason="<script>alert(1)</script>"), inbox.approver()
    refused = [inbox.decide(cleo, asked, "deny", reason=reason).status for reason in ("a\nb", "x" * 501)]
    assert ([400, 400], "requested") == (refused, inbox.state(asked))
    inbox.decide(cleo, asked, "deny", reason="<b>no</b>")
    body = cleo.get(f"/elevations/{asked.id}").body.decode()
    assert ("<script>alert" in body, "<b>no</b>" in body, "&lt;b&gt;no" in body) == (False, False, True)


@pytest.mark.parametrize(
    "path", ["/elevations/nope", "/elevations/..%2F..%2Fx", "/elevations?list=secret", "/elevations?after=.."]
)
def test_what_does_not_exist_is_not_found(inbox: Inbox, path: str) -> None:
    """Unknown ids and lists get 404."""
    assert 404 == inbox.approver().get(path).status


def test_another_step_is_not_found(inbox: Inbox) -> None:
    """Only the four steps of the engine can be taken."""
    asked = inbox.ask()
    assert (404, "requested") == (inbox.decide(inbox.approver(), asked, "delete").status, inbox.state(asked))


def test_the_history_has_pages(inbox: Inbox) -> None:
    """A list has sixty rows, the newest first in the history, and a link to the next ones."""
    now = inbox.engine.now()
    for number in range(70):
        inbox.engine.store.ask(
            Elevation(
                id=f"many{number:03}", issuer=ISSUER, subject=f"s{number}", client=None, permission="orders:delete",
                asked_at=now + 1000 + number, answer_by=now + 90000, seconds=60, reason="",
            )
        )  # fmt: skip
    rob = inbox.console.person("rob", READ)
    body = rob.get("/elevations?list=history").body.decode()
    assert (60, True, True) == (body.count("/elevations/many"), "many069" in body, "after=many010" in body)
    assert 404 == inbox.approver().get("/elevations?list=history").status
    assert "many009" in rob.get("/elevations?list=history&after=many010").body.decode()


def test_the_permission_that_decides_counts_as_used(tmp_path: Any) -> None:
    """A review must not take the permission from those who decide in the console."""
    with inbox_of(tmp_path, {"ask": ["subject:ana"], "approve": "orders:create"}) as inbox:
        inbox.decide(inbox.approver(), inbox.ask(), "approve")
        inbox.console.guard.close()
        (used,) = inbox.console.store.usage(permission="orders:create")
    assert ("cleo", "granted", "POST") == (used.use.subject, used.use.outcome, used.use.method)


def test_break_glass_is_reviewed_by_somebody_else(tmp_path: Any) -> None:
    """What somebody took without an approval waits for a review, which the taker cannot do."""
    rule = {"ask": ["default/subject:ana"], "approve": "orders:create", "break_glass": True}
    with inbox_of(tmp_path, rule) as inbox:
        ana, cleo = inbox.approver("ana"), inbox.approver()
        token = inbox.console.guard.authenticate(f"Bearer {inbox.console.person('ana', INBOX).token}").token
        assert token is not None
        taken = inbox.engine.request(token, "orders:delete", reason="fire", break_glass=True)
        assert "not reviewed" in text_of(cleo.get("/elevations?list=unreviewed"))
        assert (403, 303) == (inbox.decide(ana, taken, "review").status, inbox.decide(cleo, taken, "review").status)
        assert "There is nothing" in text_of(cleo.get("/elevations?list=unreviewed"))


def test_the_operator_of_a_local_console_denies_and_never_approves(tmp_path: Any) -> None:
    """On one's own machine the console acts as the command does: as an operator of the store."""
    with inbox_of(tmp_path, {"ask": ["subject:ana"], "approve": "orders:create"}, local_operator="op") as inbox:
        asked, person = inbox.ask(), inbox.approver()
        shown = text_of(person.get(f"/elevations/{asked.id}"))
        assert "jwt-lp elevate approve" in shown
        answer = inbox.decide(person, asked, "approve")
        assert (403, True) == (answer.status, "needs an access token of their own" in text_of(answer))
        assert (303, "denied") == (inbox.decide(person, asked, "deny").status, inbox.state(asked))
        (step,) = [each for each in inbox.engine.store.elevation_steps(asked.id) if each.action == "denied"]
        assert ("", "op") == (step.issuer, step.subject)
