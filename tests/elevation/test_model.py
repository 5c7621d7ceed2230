"""Elevations against a model: no sequence of steps gives anybody what the policy's rules do not give."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from elevation.elevation_world import NOW, World
from examples import examples
from jwt_lp import ElevationError, Policy
from jwt_lp.revocation.entries import RevocationEntry, RevocationKey
from jwt_lp.stores import open_store
from memory_store import MemoryStore
from stores.conftest import ENGINES

if TYPE_CHECKING:
    from pathlib import Path

    from jwt_lp import AccessToken
    from jwt_lp.stores import Elevation

_NUMBERS = count()
LEAD: Final = "lead"
PEOPLE: Final = {
    "ana": ("support",),
    "eve": ("support",),
    "bob": ("lead",),
    "cy": ("lead",),
    "dan": ("support", "lead"),
}
ROLES: Final = {"support": {"grants": ["desk:use"]}, "lead": {"grants": [LEAD]}}
RULE: Final[dict[str, Any]] = {
    "ask": ["role:support"],
    "approve": LEAD,
    "reason": False,
    "longest": 3600,
    "answer": 5000,
}
LAX: Final[dict[str, Any]] = {
    "orders:*": RULE,
    "orders:export": {**RULE, "approvals": 2},
    "orders:print": {**RULE, "break_glass": True, "longest": 600},
}
STRICT: Final[dict[str, Any]] = {
    "orders:*": {**RULE, "approvals": 2, "longest": 900},
    "orders:export": {**RULE, "ask": ["role:lead"]},
}
PERMISSIONS: Final = ("orders:export", "orders:export", "orders:print", "orders:count", "stock:count")


@dataclass(eq=False)
class Modelled:
    """One elevation, as the model knows it."""

    asked: Elevation
    approvers: set[str] = field(default_factory=set)
    span: tuple[float, float] | None = None
    over: bool = False
    unreviewed: bool = False

    def waits(self, now: float) -> bool:
        return not self.over and self.span is None and now < self.asked.answer_by

    def runs(self, now: float) -> bool:
        return not self.over and self.span is not None and now < self.span[1]


class ElevationMachine(RuleBasedStateMachine):
    """Requests, decisions, ends, reviews and revocations by anybody, under a policy that changes."""

    requests = Bundle("requests")
    store: Any = None

    @initialize(target=requests)
    def start(self) -> Any:
        self.table: dict[str, Any] = LAX
        self.world = World(Policy.from_mapping({"version": 1, "roles": ROLES, "elevation": LAX}), self.store)
        self.strict = self.world.under(Policy.from_mapping({"version": 1, "roles": ROLES, "elevation": STRICT}))
        self.elevations = self.lax = self.world.elevations
        example = next(_NUMBERS)
        self.tokens = {name: self.world.token(f"{name}{example}", *roles) for name, roles in PEOPLE.items()}
        self.issuer = self.tokens["ana"].issuer
        self.models: list[Modelled] = []
        self.sequence = self.store.changes(0).sequence
        while (page := self.store.changes(self.sequence)).sequence > self.sequence:
            self.sequence = page.sequence
        self.snapshot: dict[str, Any] = {}
        # Sequences that begin with requests reach more states.
        first = [("ana", "orders:export", False), ("dan", "orders:count", False), ("ana", "orders:print", True)]
        return multiple(*(self._ask(who, permission, None, glass=glass) for who, permission, glass in first))

    def _rule(self, permission: str) -> Any:
        if permission in self.table:
            return self.table[permission]
        return self.table.get("orders:*") if permission.startswith("orders:") else None

    @rule(
        target=requests,
        who=st.sampled_from(["ana", "ana", "dan", "dan", "eve", "bob"]),
        permission=st.sampled_from(PERMISSIONS),
        seconds=st.sampled_from([None, None, 60, 3600]),
        glass=st.sampled_from([False, False, False, True]),
    )
    def ask(self, who: str, permission: str, seconds: int | None, glass: bool) -> Any:
        model = self._ask(who, permission, seconds, glass=glass)
        return multiple() if model is None else model

    def _ask(self, who: str, permission: str, seconds: int | None, *, glass: bool) -> Modelled | None:
        rule = self._rule(permission)
        token = self.tokens[who]
        mine = [each for each in self.models if each.asked.subject == token.subject]
        allowed = (
            rule is not None
            and any(f"role:{role}" in rule["ask"] for role in PEOPLE[who])
            and (seconds or 1) <= rule["longest"]
            and (not glass or rule.get("break_glass", False))
            and sum(each.waits(self.world.now) for each in mine) < 20
            and not (glass and any(each.unreviewed and not each.runs(self.world.now) for each in mine))
        )
        try:
            asked = self.elevations.request(token, permission, seconds=seconds, break_glass=glass)
        except ElevationError:
            assert not allowed
            return None
        assert allowed
        model = Modelled(
            asked, span=(self.world.now, self.world.now + asked.seconds) if glass else None, unreviewed=glass
        )
        self.models.append(model)
        return model

    @rule(
        model=requests,
        deciders=st.lists(st.sampled_from(["bob", "cy", "dan", "ana"]), min_size=1, max_size=4),
        strict=st.booleans(),
    )
    def approve(self, model: Modelled, deciders: list[str], strict: bool) -> None:
        self._change_policy(strict=strict)
        for who in deciders:
            self._approve(model, who)

    def _approve(self, model: Modelled, who: str) -> None:
        token, rule = self.tokens[who], self._rule(model.asked.permission)
        decides = "lead" in PEOPLE[who] and rule is not None and token.subject != model.asked.subject
        allowed = decides and model.waits(self.world.now) and who not in model.approvers
        if not self._try(self.elevations.approve, token, model, allowed, digest=model.asked.digest):
            return
        assert rule is not None
        model.approvers.add(who)
        if len(model.approvers) >= max(model.asked.needed, rule.get("approvals", 1)):
            model.span = self.world.now, self.world.now + min(model.asked.seconds, rule["longest"])

    @rule(
        model=requests,
        who=st.sampled_from(["ana", "bob", "dan", "eve"]),
        step=st.sampled_from(["deny", "end", "review"]),
    )
    def close(self, model: Modelled, who: str, step: str) -> None:
        now, rule = self.world.now, self._rule(model.asked.permission)
        lead, own = "lead" in PEOPLE[who] and rule is not None, self.tokens[who].subject == model.asked.subject
        allowed = {
            "deny": lead and not own and model.waits(now),
            "end": (lead or own) and (model.waits(now) or model.runs(now)),
            "review": lead and not own and model.unreviewed,
        }
        if self._try(getattr(self.elevations, step), self.tokens[who], model, allowed[step]):
            model.over = model.over or step != "review"
            model.unreviewed = model.unreviewed and step != "review"

    @rule(model=requests)
    def revoke(self, model: Modelled) -> None:
        subject = model.asked.subject
        entry = RevocationEntry(id=f"r{next(_NUMBERS)}", of="subject", issuer=self.issuer, name=subject)
        self.store.revoke([entry], at=self.world.now)
        for each in self.models:
            live = each.waits(self.world.now) or each.runs(self.world.now)
            each.over = each.over or (live and each.asked.subject == subject)

    @rule(seconds=st.sampled_from([1, 299, 600, 3600, 5000]))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds

    def _change_policy(self, *, strict: bool) -> None:
        self.table, self.elevations = (STRICT, self.strict) if strict else (LAX, self.lax)

    def _try(self, step: Any, token: AccessToken, model: Modelled, allowed: bool, **more: Any) -> bool:
        try:
            step(token, model.asked.id, **more)
        except ElevationError:
            assert not allowed
            return False
        assert allowed
        return True

    @invariant()
    def guards_know_what_the_model_says(self) -> None:
        """A reader that applies the pages knows each grant that runs, with its time, and no other."""
        if not hasattr(self, "snapshot"):
            return
        while (page := self.store.changes(self.sequence)).sequence > self.sequence:
            self.sequence = page.sequence
            self.snapshot = {
                key: each
                for key, each in self.snapshot.items()
                if RevocationKey("subject", each.issuer, each.subject) not in page.touched
            }
            self.snapshot |= {grant.id: grant for grant in page.grants}
        now = self.world.now
        held = {
            (each.id, each.subject, each.permission, each.until) for each in self.snapshot.values() if now < each.until
        }
        expected = {
            (each.asked.id, each.asked.subject, each.asked.permission, each.span[1])
            for each in self.models
            if each.span is not None and each.runs(now)
        }
        assert expected == held

    @invariant()
    def every_grant_has_its_approvals(self) -> None:
        """Whatever the model says: behind each grant are a rule of one of the policies, and the people that it wants."""
        for grant in self.snapshot.values() if hasattr(self, "snapshot") else ():
            steps = self.store.elevation_steps(grant.id)
            approvers = {step.subject.rstrip("0123456789") for step in steps if step.action == "approved"}
            rules = [each[grant.permission] for each in (LAX, STRICT) if grant.permission in each]
            rules += [each["orders:*"] for each in (LAX, STRICT)] if grant.permission.startswith("orders:") else []
            assert any(
                grant.until - grant.since <= each["longest"]
                and (len(approvers) >= each.get("approvals", 1) or each.get("break_glass", False))
                for each in rules
            )
            assert grant.subject.rstrip("0123456789") not in approvers
            assert all("lead" in PEOPLE[name] for name in approvers)

    @rule(who=st.sampled_from(["ana", "dan"]), strict=st.booleans())
    def tokens_hold_what_runs_and_the_policy_allows_now(self, who: str, strict: bool) -> None:
        """What `held` gives to tokens of our own issuer."""
        self._change_policy(strict=strict)
        token = self.tokens[who]
        expected = {
            each.asked.id
            for each in self.models
            if each.asked.subject == token.subject
            and each.runs(self.world.now)
            and each.span is not None
            and (rule := self._rule(each.asked.permission)) is not None
            and each.span[1] - each.span[0] <= rule["longest"]
            and (not each.asked.break_glass or rule.get("break_glass", False))
        }
        held = self.elevations.held(self.issuer, token.subject, token.client)
        assert expected == {grant.id for grant in held}


# The model meets every store; tests/stores holds each to a table of steps as well.
STORES = ("sqlite", "postgresql", "django-sqlite", "django-postgresql")


@pytest.mark.parametrize("engine", ["memory", *(pytest.param(name, marks=pytest.mark.once) for name in STORES)])
def test_no_sequence_of_steps_gives_more_than_the_rules(engine: str, tmp_path: Path) -> None:
    """On every store, what a model of the rules says is held is held, and nothing else."""
    number = 100 if engine == "memory" else 10
    bounded = settings(examples(number), stateful_step_count=25 if engine == "memory" else 10)
    if engine == "memory":
        _run(MemoryStore(), bounded)
        return
    with ENGINES[engine](tmp_path) as url, closing(open_store(url)) as store:
        store._clock = lambda: NOW  # type: ignore[attr-defined]
        _run(store, bounded)


def _run(store: Any, bounded: settings) -> None:
    machine = type("Machine", (ElevationMachine,), {"store": store})
    run_state_machine_as_test(machine, settings=bounded)
