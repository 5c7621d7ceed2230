"""A store with a past, the people in it, and campaigns about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from campaign_scenario import PEOPLE, record_quarter
from jwt_lp import Policy
from jwt_lp.campaigns import CampaignItemView, Campaigns, ReviewOptions
from jwt_lp.review import DecisionRule
from jwt_lp.stores import Store, open_store
from jwt_lp.stores.audit import Actor, AuditFilter
from jwt_lp.stores.campaigns import Campaign, DecideResult, WantedDecision
from review_scenario import ISSUER, NOW, ReviewScenario, noon_of

DAY = 86_400.0
ANN = Actor(issuer=ISSUER, subject="ann", name="Ann Lee")
BEN = Actor(issuer=ISSUER, subject="ben", name="Ben Ray")
EVE = Actor(issuer=ISSUER, subject="eve", name="Eve")
OPERATOR = Actor(issuer="", subject="root")


@dataclass
class Quarter:
    """The campaigns of a store, and a clock that stands until it is moved."""

    scenario: ReviewScenario
    policy: Policy
    now: float = noon_of(NOW)
    campaigns: Campaigns = field(init=False)

    def __post_init__(self) -> None:
        self.campaigns = self.engine()

    @property
    def store(self) -> Store:
        return self.scenario.store

    def engine(self, **more: Any) -> Campaigns:
        """Another engine of the same store."""
        ids = iter(f"{number:032x}" for number in range(1, 100))
        given: dict[str, Any] = {"people": PEOPLE, "clock": lambda: self.now, "new_id": lambda: next(ids)}
        return Campaigns(self.store, self.policy, **(given | more))

    def freeze(self, **more: Any) -> Campaign:
        """A campaign of two weeks, by manager."""
        given: dict[str, Any] = {
            "name": "Autumn",
            "deadline": self.now + 14 * DAY,
            "options": ReviewOptions(rule=DecisionRule("fixed", 180)),
        }
        return self.campaigns.freeze(OPERATOR, **(given | more))

    def views(self, campaign: Campaign, *, details: bool = False, **which: Any) -> list[CampaignItemView]:
        """All items of a campaign, part by part."""
        parts = [which.pop("part")] if "part" in which else [part.name for part in self.campaigns.parts(campaign.id)]
        given = {"limit": 1000, "details": details} | which
        return [view for part in parts for view in self.campaigns.items(campaign.id, part=part, **given).items]

    def view(self, campaign: Campaign, name: str, grant: str, *, details: bool = False) -> CampaignItemView:
        """The one item about a holder and a grant."""
        (found,) = [view for view in self.views(campaign) if (view.finding.name, view.finding.grant) == (name, grant)]
        return self.campaigns.item(campaign.id, found.id) if details else found

    def actions(self, campaign: Campaign) -> list[str]:
        """What the audit trail says was done in a campaign."""
        return [entry.action for entry in self.store.audit_entries(AuditFilter(campaign=campaign.id))]

    def decide(self, actor: Actor, view: CampaignItemView, decision: Any = "remove", **more: Any) -> DecideResult:
        """Decide about an item as it was seen."""
        wanted = WantedDecision(item=view.id, decision=decision, version=view.version, **more)
        return self.campaigns.decide(actor, view.campaign, [wanted], part=view.part)

    def decide_part(self, campaign: Campaign, part: str) -> None:
        """Keep everything in a part, as an operator."""
        wanted = [
            WantedDecision(item=view.id, decision="keep", version=view.version)
            for view in self.views(campaign, part=part)
        ]
        self.campaigns.decide(OPERATOR, campaign.id, wanted, part=part)

    def decide_all(self, campaign: Campaign) -> None:
        """Keep everything."""
        for part in self.campaigns.parts(campaign.id):
            self.decide_part(campaign, part.name)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two managers with their people: unused grants, a broad one, two who have left, and a role that is not needed."""
    pytest.importorskip("sqlalchemy", reason="campaigns are kept in SQLite, which needs SQLAlchemy (extra `sql`)")
    pytest.importorskip("tomlkit", reason="plans edit the policy with tomlkit (extra `cli`)")
    file = tmp_path_factory.mktemp("recorded") / "access.db"
    store = open_store(f"sqlite:///{file}")
    store.migrate()
    past = ReviewScenario(store, file.parent)
    record_quarter(past)
    store.close()
    return file


@pytest.fixture
def quarter(tmp_path: Path, recorded: Path) -> Iterator[Quarter]:
    """The engine over a copy of what was recorded."""
    copy = shutil.copy(recorded, tmp_path / "access.db")
    store = open_store(f"sqlite:///{copy}")
    past = ReviewScenario(store, tmp_path, first=1000)
    yield Quarter(past, past.policy())
    store.close()
