"""The memo of the decisions about one request."""

from __future__ import annotations

import gc
import threading
from contextvars import copy_context
from uuid import UUID

import pytest

from jwt_lp import PUBLIC, Decision, DecisionMemo, Refusal, all_of, any_of
from jwt_lp.testing.authority import Authority

NOBODY = Refusal(401, None, "r1")
LITTLE = Refusal(403, "insufficient_scope", "r2", scope="a:b")
LATER = Refusal(503, None, "r3")


def refused(refusal: Refusal) -> Decision:
    return Decision(refusal=refusal)


def test_the_same_requirement_gets_the_same_decision() -> None:
    """Equal requirements and parameters, in any order, find the same decision; others find none."""
    memo, decision = DecisionMemo(), Decision()
    assert memo.find(all_of("a:{n}:{m}"), {"n": 1, "m": "x"}) is None
    assert memo.keep((all_of("a:{n}:{m}"),), {"n": 1, "m": "x"}, decision) is decision
    assert memo.find(all_of("a:{n}:{m}"), {"m": "x", "n": 1}) is decision
    assert memo.find(all_of("a:{n}:{m}"), {"n": 2, "m": "x"}) is None
    assert memo.find(any_of("a:{n}:{m}", "b"), {"n": 1, "m": "x"}) is None
    assert memo.find(all_of("a:{n}:{m}"), {}) is None


def test_one_decision_may_answer_several_requirements() -> None:
    """A decision can be kept for a route's whole requirement, for each part of it, and for no declaration."""
    memo, decision = DecisionMemo(), Decision()
    memo.keep((all_of("a"), all_of("b"), None), {}, decision)
    assert [decision] * 3 == [memo.find(each, {}) for each in (all_of("a"), all_of("b"), None)]
    assert memo.find(PUBLIC, {}) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(1, 1, True, id="int"),
        pytest.param("1", 1, False, id="text and number"),
        pytest.param(1, True, False, id="number and truth"),
        pytest.param(1, 1.0, False, id="whole and float"),
        pytest.param(None, None, True, id="nothing"),
        pytest.param(UUID(int=1), UUID(int=1), True, id="uuid"),
        pytest.param([1], [1], False, id="a value that may change"),
    ],
)
def test_parameters_are_compared_by_type_and_value(one: object, other: object, same: bool) -> None:
    """Parameters are compared by type and value, mutable values by identity."""
    memo, decision = DecisionMemo(), Decision()
    memo.keep((None,), {"n": one}, decision)
    assert memo.find(None, {"n": one}) is decision
    assert (memo.find(None, {"n": other}) is decision) is same


def test_a_new_value_never_gets_the_decision_of_a_deleted_one() -> None:
    """Values compared by identity are kept alive, so no new value can get their id."""

    class Value:
        pass

    memo = DecisionMemo()
    memo.keep((None,), {"n": Value()}, Decision())
    gc.collect()
    assert [None] * 100 == [memo.find(None, {"n": Value()}) for _ in range(100)]


def test_a_subclass_with_its_own_equality_finds_no_decision() -> None:
    """A value of the application's own class is not trusted when it claims to equal another value."""

    class Everything(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("7")

    memo = DecisionMemo()
    memo.keep((None,), {"n": "7"}, Decision())
    assert memo.find(None, {"n": Everything("8")}) is None


def test_requirements_with_the_same_text_are_different() -> None:
    """A requirement is found by what it is: one that is enforced, or another kind with the same text, is another."""
    memo, decision = DecisionMemo(), Decision()
    memo.keep((all_of("a", "b"),), {}, decision)
    assert memo.find(all_of("a", "b"), {}) is decision
    assert memo.find(all_of("a", "b", enforce=True), {}) is None
    assert memo.find(any_of("a", "b"), {}) is None
    assert memo.find(all_of("a"), {}) is None
    assert memo.find(None, {}) is None


def test_the_key_of_parameters() -> None:
    """Parameters have the same key exactly if names, types and values are the same, in any order."""
    values: list[dict[str, object]] = [{}, {"n": 1}, {"n": "1"}, {"m": 1}, {"n": 1, "m": 2}, {"n": 2, "m": 1}]
    assert len(values) == len({DecisionMemo.key(each) for each in values})
    assert DecisionMemo.key({"n": 1, "m": 2}) == DecisionMemo.key({"m": 2, "n": 1})


def test_the_first_refusal_is_final() -> None:
    """No later refusal replaces the first one, and no later decision that passes cancels it."""
    memo = DecisionMemo()
    assert (None, True) == (memo.refusal, memo.permits(200, None))
    memo.keep((all_of("a"),), {}, refused(LITTLE))
    memo.keep((all_of("b"),), {}, Decision())
    memo.note(refused(NOBODY))
    assert LITTLE is memo.refusal


@pytest.mark.parametrize("refusal", [NOBODY, LITTLE, LATER])
def test_only_a_response_with_the_refusal_is_permitted(refusal: Refusal) -> None:
    """A response needs both the status and the challenge of the refusal."""
    memo = DecisionMemo()
    memo.note(refused(refusal))
    challenge = refusal.headers.get("WWW-Authenticate")
    assert memo.permits(refusal.status, challenge)
    assert not any(memo.permits(status, challenge) for status in (200, 302, 304, 404, 500))
    assert not any(memo.permits(refusal.status, other) for other in ("Basic", "Bearer x"))
    assert memo.permits(refusal.status, None) is (challenge is None)


def test_observed_and_pending_decisions_are_not_refusals() -> None:
    """An observed refusal and a pending decision permit any response; the pending one is not kept."""
    memo = DecisionMemo()
    memo.keep((all_of("a"),), {}, Decision(observed=LITTLE))
    pending = Decision(pending=True)
    assert memo.keep((all_of("b"),), {}, pending) is pending
    assert (None, None) == (memo.refusal, memo.find(all_of("b"), {}))


def test_a_probe_is_not_a_refusal() -> None:
    """`can` leaves the memo unchanged; a refusal by `authorize` can be noted."""
    authority, memo = Authority(), DecisionMemo()
    with authority.guard() as guard:
        token = guard.authenticate(f"Bearer {authority.token(permissions=['a:b'])}").token
        assert token is not None
        assert not guard.can(token, all_of("c:d"))
        assert memo.permits(200, None)
        decision = memo.note(guard.authorize(token, all_of("c:d"), {}, "GET /x"))
    assert (False, 403) == (memo.permits(200, None), memo.refusal and memo.refusal.status)
    assert memo.refusal is decision.refusal


def test_copies_of_a_context_share_the_memo() -> None:
    """A refusal noted in another thread, in a copied context, is seen by the request."""
    memo = DecisionMemo()
    thread = threading.Thread(target=copy_context().run, args=(memo.note, refused(LITTLE)))
    thread.start()
    thread.join(10)
    assert LITTLE is memo.refusal


def test_many_decisions_are_found_without_a_search() -> None:
    """The look-up does not become slower with thousands of decisions about one request."""

    class Counted(str):
        __slots__ = ()
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

    memo = DecisionMemo()
    for number in range(2000):
        memo.keep((all_of(f"a:{number}"),), {Counted("n"): number}, Decision())
    Counted.compared = 0
    assert memo.find(all_of("a:1999"), {Counted("n"): 1999}) is not None
    assert Counted.compared < 20
