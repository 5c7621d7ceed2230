"""Every page of the console, with something on it: what happened in a store before, and the paths by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from console.quarter_world import DAY, ENGINEER, LONG_PERMISSION, PARTNERS, Quarter, make_quarter
from console.serving import ISSUER
from elevated import approve
from jwt_lp import Policy
from jwt_lp.campaigns import Campaigns
from jwt_lp.elevation.elevations import Elevations
from jwt_lp.elevation.identities import Operator
from jwt_lp.review.plan import apply, journal_path
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores.audit import Actor
from jwt_lp.stores.campaigns import WantedDecision

NORA = Actor(issuer=ISSUER, subject="nora", name="Nora Okafor")
DECIDES, READS = "jwt-lp:review:decide", "jwt-lp:review:read"


class ConsolePage(NamedTuple):
    """A page: its name, its path, and who looks at it. "engineer" may do everything, "manager" and "colleague" decide."""

    name: str
    path: str
    who: Literal["engineer", "manager", "colleague"] = "engineer"
    status: int = 200


@dataclass(frozen=True, slots=True)
class FurnishedStore:
    """A store in which the console's pages have something to show, and what their paths need."""

    quarter: Quarter
    plans: Path
    past: str
    present: str
    cancelled: str
    asked: str
    held: str

    def pages(self) -> list[ConsolePage]:
        """Every page that a GET shows."""
        return [
            ConsolePage("overview", "/"),
            ConsolePage("manager-overview", "/", "manager"),
            ConsolePage("search", "/search"),
            ConsolePage("search-found", "/search?q=o"),
            ConsolePage("search-nothing", "/search?q=nobody+has+this+name"),
            ConsolePage("subject", f"/subject?issuer={_q(ISSUER)}&name=n07"),
            ConsolePage("subject-long", f"/subject?issuer={_q(PARTNERS)}&name={'u' * 40}"),
            ConsolePage("client", f"/client?issuer={_q(ISSUER)}&name=nightly-export"),
            ConsolePage("role", "/role?name=clerk"),
            ConsolePage("permission", f"/permission?name={_q('orders:export')}"),
            ConsolePage("permission-long", f"/permission?name={_q(LONG_PERMISSION)}"),
            ConsolePage("routes", "/routes"),
            *self._campaign_pages(),
            ConsolePage("plans", "/plans"),
            ConsolePage("plan", f"/plans/{self.past}"),
            ConsolePage("plan-verify", f"/plans/{self.past}/verify"),
            ConsolePage("plan-missing", f"/plans/{self.cancelled}"),
            ConsolePage("elevations", "/elevations"),
            ConsolePage("elevations-held", "/elevations?list=held"),
            ConsolePage("elevations-history", "/elevations?list=history"),
            ConsolePage("elevation-asked", f"/elevations/{self.asked}"),
            ConsolePage("elevation-held", f"/elevations/{self.held}"),
            ConsolePage("revocations", "/revocations"),
            ConsolePage("revocation-new", "/revocations/new"),
            ConsolePage("revocation", "/revocations/1"),
            ConsolePage("audit", "/audit"),
            ConsolePage("audit-verify", "/audit/verify"),
            ConsolePage("not-found", "/nowhere", status=404),
            ConsolePage("not-allowed", "/audit", "manager", status=403),
        ]

    def _campaign_pages(self) -> list[ConsolePage]:
        engine = self.quarter.engine()
        group = engine.items(self.present, part="nora").groups[0].group.id
        item = next(each for each in engine.items(self.present, part="nora", decided=False).items if not each.group)
        decide = f"/campaigns/{self.present}/decide?part=nora"
        return [
            ConsolePage("campaigns", "/campaigns"),
            ConsolePage("manager-campaigns", "/campaigns", "manager"),
            ConsolePage("campaign-new", "/campaigns/new"),
            ConsolePage("campaign", f"/campaigns/{self.present}"),
            ConsolePage("campaign-closed", f"/campaigns/{self.past}"),
            ConsolePage("campaign-cancelled", f"/campaigns/{self.cancelled}"),
            ConsolePage("campaign-close", f"/campaigns/{self.present}/close"),
            ConsolePage("decide", decide, "manager"),
            ConsolePage("decide-decided", f"{decide}&show=decided", "manager"),
            ConsolePage("decide-group", f"{decide}&group={group}&show=all", "manager"),
            ConsolePage("decide-groups", f"/campaigns/{self.present}/decide?part=omar", "colleague"),
            ConsolePage("decide-of-another", f"/campaigns/{self.present}/decide?part=omar"),
            ConsolePage("decide-long", f"/campaigns/{self.present}/decide?part=maximiliane"),
            ConsolePage("item", f"/campaigns/{self.present}/items/{item.id}", "manager"),
            ConsolePage("worksheet-upload", f"/campaigns/{self.present}/worksheet/upload?part=nora", "manager"),
        ]


SUBJECTS = {"engineer": "root", "manager": "nora", "colleague": "omar"}
EMPTY_PAGES = [
    ConsolePage(f"empty-{name}", path)
    for name, path in {
        "overview": "/", "campaigns": "/campaigns", "campaign-new": "/campaigns/new", "plans": "/plans",
        "elevations": "/elevations", "revocations": "/revocations", "audit": "/audit", "routes": "/routes",
    }.items()
]  # fmt: skip


def furnish(store: Any, folder: Path, *, team: int = 24) -> FurnishedStore:
    """The company's store with a campaign that is closed and in its plan's trial, one that is open, and one cancelled."""
    quarter = make_quarter(store, folder, team=team)
    plans = folder / "plans"
    plans.mkdir()
    past = _past_campaign(quarter, plans)
    engine = quarter.engine(days_ago=6)
    cancelled = engine.freeze(ENGINEER, name="Q4 2026, first try", deadline=quarter.clock() + DAY, split="issuer").id
    engine.cancel(ENGINEER, cancelled, reason="It was split by the wrong thing.")
    present = engine.freeze(
        ENGINEER, name="Q4 2026", deadline=quarter.clock() + 8 * DAY, stages="notice=14d,trial=30d"
    ).id
    for days, until in ((5, 15), (3, 25), (2, 30)):
        _decide_some(quarter.engine(days_ago=days), present, "nora", until)
    asked, held = _elevations(quarter)
    _revocations(quarter)
    return FurnishedStore(quarter, plans, past, present, cancelled, asked, held)


def _past_campaign(quarter: Quarter, plans: Path) -> str:
    """A campaign of the quarter before, whose plan was applied yesterday, up to its trial."""
    engine = quarter.engine(days_ago=80)
    deadline = quarter.clock() - 60 * DAY
    made = engine.freeze(
        ENGINEER, name="Q3 2026", deadline=deadline, undecided="keep", stages="trial=30d", split="team"
    )
    for part in engine.parts(made.id):
        if part.reviewer is None and part.name.startswith("Sales"):
            engine.assign(ENGINEER, made.id, part.name, NORA, version=part.version)
            _decide_some(engine, made.id, part.name, 30)
    quarter.engine(days_ago=50).close(ENGINEER, made.id)
    plan = engine.plan(made.id)
    file = plans / f"{made.id}.plan"
    file.write_text(plan.encode())
    apply(
        plan, quarter.store, str(quarter.policy), journal=journal_path(file), now=quarter.clock() - DAY, by="Rosa Ott",
        cap=1000,
    )  # fmt: skip
    return made.id


def _decide_some(engine: Campaigns, campaign: str, part: str, until: int) -> None:
    """Decide as proposed about the items up to a position, and keep every seventh."""
    items = [each for each in engine.items(campaign, part=part, limit=until).items if each.decision is None]
    wanted = [
        WantedDecision(
            item=each.id,
            decision="keep" if each.position % 7 == 0 else each.finding.proposal,
            comment="She covers for the returns desk in December." if each.position % 14 == 0 else "",
            version=each.version,
        )
        for each in items
    ]
    engine.decide(NORA, campaign, wanted, part=part)


def _elevations(quarter: Quarter) -> tuple[str, str]:
    """Requests that wait, that were granted and that were denied; the ids of one that waits and of one that is held."""
    engine = Elevations(Policy.load(quarter.policy), quarter.store, clock=quarter.clock)
    asked = [
        engine.request(Operator(ISSUER, name), "orders:refund", reason=reason)
        for name, reason in (
            ("n07", "The customer of order 4711 got the wrong size, and returns it today."),
            ("n08", "Month-end."),
            ("o11", "Ticket SUP-20931: " + "the payment provider charged twice, " * 8),
        )
    ]
    engine.deny(Operator("", "rosa"), asked[1].id, reason="Month-end does not need refunds.")
    now = quarter.clock()
    person = {"id": "held-since-an-hour", "issuer": ISSUER, "subject": "o12", "reason": "Returns of the fair"}
    held = approve(quarter.store, "orders:refund", now - 3600, 14400, **person)
    return asked[0].id, held.id


def _revocations(quarter: Quarter) -> None:
    """An entry that was lifted, one for a token, and one for a whole client."""
    entries = [
        RevocationEntry(
            id="phone", of="subject", issuer=ISSUER, name="n09", before=None, reason="The phone was stolen."
        ),
        RevocationEntry(id="leak", of="client", issuer=ISSUER, name="nightly-export", pattern="orders:*", reason=""),
        RevocationEntry(
            id="long", of="subject", issuer=PARTNERS, name="u" * 40, pattern=LONG_PERMISSION, reason="audit"
        ),
    ]
    quarter.store.revoke(entries, at=quarter.clock() - 7200, by="Rosa Ott")
    quarter.store.lift(["phone"], at=quarter.clock() - 3600)


def _q(text: str) -> str:
    return quote(text, safe="")
