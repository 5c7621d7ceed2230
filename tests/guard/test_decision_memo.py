"""What is remembered of the decisions about one request."""

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


def test_the_same_question_gets_the_same_decision() -> None:
    """Equal requirements and parameters, in whatever order, are one question; others are not known."""
    memo, decision = DecisionMemo(), Decision()
    assert memo.find(all_of("a:{n}:{m}"), {"n": 1, "m": "x"}) is None
    assert memo.keep((all_of("a:{n}:{m}"),), {"n": 1, "m": "x"}, decision) is decision
    assert memo.find(all_of("a:{n}:{m}"), {"m": "x", "n": 1}) is decision
    assert memo.find(all_of("a:{n}:{m}"), {"n": 2, "m": "x"}) is None
    assert memo.find(any_of("a:{n}:{m}", "b"), {"n": 1, "m": "x"}) is None
    assert memo.find(all_of("a:{n}:{m}"), {}) is None


def test_one_decision_may_answer_several_requirements() -> None:
    """The whole of what a route asks for, and each of its parts; a route that declares nothing is one of them."""
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
def test_what_is_equal_is_not_the_same(one: object, other: object, same: bool) -> None:
    """Types count, and what can change is itself only."""
    memo, decision = DecisionMemo(), Decision()
    memo.keep((None,), {"n": one}, decision)
    assert memo.find(None, {"n": one}) is decision
    assert (memo.find(None, {"n": other}) is decision) is same


def test_no_other_value_takes_the_place_of_one_that_is_gone() -> None:
    """What counts by identity is kept alive: otherwise a new value would get its id, and its decision."""

    class Value:
        pass

    memo = DecisionMemo()
    memo.keep((None,), {"n": Value()}, Decision())
    gc.collect()
    assert [None] * 100 == [memo.find(None, {"n": Value()}) for _ in range(100)]


def test_an_equal_value_of_the_projects_own_class_is_another() -> None:
    """What says of itself that it equals everything is not believed."""

    class Everything(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("7")

    memo = DecisionMemo()
    memo.keep((None,), {"n": "7"}, Decision())
    assert memo.find(None, {"n": Everything("8")}) is None


def test_the_first_refusal_is_final() -> None:
    """No later refusal takes its place, and nothing that passes later undoes it."""
    memo = DecisionMemo()
    assert (None, True) == (memo.refusal, memo.permits(200, None))
    memo.keep((all_of("a"),), {}, refused(LITTLE))
    memo.keep((all_of("b"),), {}, Decision())
    memo.note(refused(NOBODY))
    assert LITTLE is memo.refusal


@pytest.mark.parametrize("refusal", [NOBODY, LITTLE, LATER])
def test_only_a_response_that_carries_the_refusal_is_let_out(refusal: Refusal) -> None:
    """Its status with its challenge; neither alone will do, nor any other answer."""
    memo = DecisionMemo()
    memo.note(refused(refusal))
    challenge = refusal.headers.get("WWW-Authenticate")
    assert memo.permits(refusal.status, challenge)
    assert not any(memo.permits(status, challenge) for status in (200, 302, 304, 404, 500))
    assert not any(memo.permits(refusal.status, other) for other in ("Basic", "Bearer x"))
    assert memo.permits(refusal.status, None) is (challenge is None)


def test_what_refuses_nothing_is_no_refusal() -> None:
    """An observed refusal lets the response out, as does what is pending; the latter is asked for again."""
    memo = DecisionMemo()
    memo.keep((all_of("a"),), {}, Decision(observed=LITTLE))
    pending = Decision(pending=True)
    assert memo.keep((all_of("b"),), {}, pending) is pending
    assert (None, None) == (memo.refusal, memo.find(all_of("b"), {}))


def test_a_guards_probe_is_no_refusal() -> None:
    """`can` gives no decision, so that there is nothing to note; the guard's own refusal is noted."""
    authority, memo = Authority(), DecisionMemo()
    with authority.guard() as guard:
        token = guard.authenticate(f"Bearer {authority.token(permissions=['a:b'])}").token
        assert token is not None
        assert not guard.can(token, all_of("c:d"))
        assert memo.permits(200, None)
        decision = memo.note(guard.authorize(token, all_of("c:d"), {}, "GET /x"))
    assert (False, 403) == (memo.permits(200, None), memo.refusal and memo.refusal.status)
    assert memo.refusal is decision.refusal


def test_it_is_shared_by_reference_with_copies_of_the_context() -> None:
    """A refusal noted in another thread, in a copied context, is the request's."""
    memo = DecisionMemo()
    thread = threading.Thread(target=copy_context().run, args=(memo.note, refused(LITTLE)))
    thread.start()
    thread.join(10)
    assert LITTLE is memo.refusal


def test_many_decisions_are_found_without_a_search() -> None:
    """Thousands of objects asked for in one request do not make each question slower."""

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
