"""What is different since an earlier review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.review.analysis import finding_collector
from jwt_lp.review.analysis.earlier_review import EarlierReview
from jwt_lp.review.findings import Review
from jwt_lp.review.report import KeptFindings, iter_table, render
from jwt_lp.stores import HeldGrant
from review import sample_review
from review_scenario import ISSUER, ReviewScenario, days_ago


def _keep(review: Review, folder: Path, name: str = "earlier.json") -> EarlierReview:
    """A review, written as JSON and read again."""
    file = folder / name
    file.write_text(render(review, "json"))
    return EarlierReview(file)


def _held(*grants: str, since: int = 390) -> list[HeldGrant]:
    return [HeldGrant(ISSUER, "alice", "", "", grant, since=days_ago(since)) for grant in grants]


def _changes(review: Review) -> dict[str, str]:
    return {one.grant: one.change for one in review.findings if one.of == "subject"}


def test_new_gone_and_known(past: ReviewScenario, tmp_path: Path) -> None:
    """A grant that was not held is new, one that is not held any more is gone, and the rest is known."""
    past.import_grants(*_held("orders:read", "orders:list"), days=30)
    earlier = _keep(past.review(now=days_ago(30)), tmp_path)
    past.import_grants(*_held("orders:read", "orders:refund"))
    found = past.review(earlier=earlier)
    assert {"orders:read": "known", "orders:refund": "new"} == _changes(found)
    comparison = found.comparison
    assert comparison is not None
    assert (days_ago(30), 1, 0) == (comparison.now, comparison.new, comparison.came_back)
    assert [("alice", "orders:list", found.now)] == [(one.name, one.grant, one.gone_by) for one in comparison.gone]
    assert comparison.gone == comparison.gone_on(found.now)
    text = render(found, "text")
    assert f"Changes: since the review of {days_ago(30)}: 1 new finding, 0 came back, 1 grant gone" in text
    assert "change: new since the last review" in text
    assert "Gone since the last review: 1 grant\n  subject alice orders:list [" in text


def test_what_was_gone_came_back(past: ReviewScenario, tmp_path: Path) -> None:
    """A grant that one review found gone comes back in a later one, also with a review between."""
    past.import_grants(*_held("orders:read", "orders:list"), days=90)
    first = _keep(past.review(now=days_ago(90)), tmp_path, "first.json")
    past.import_grants(*_held("orders:read"), days=60)
    second = _keep(past.review(now=days_ago(60), earlier=first), tmp_path, "second.json")
    third_review = past.review(now=days_ago(59), earlier=second)
    assert third_review.comparison is not None
    assert ((), 1) == (third_review.comparison.gone_on(days_ago(59)), len(third_review.comparison.gone))
    third = _keep(third_review, tmp_path, "third.json")
    past.import_grants(*_held("orders:read", "orders:list"))
    found = past.review(earlier=third)
    assert {"orders:read": "known", "orders:list": "came-back"} == _changes(found)
    assert found.comparison is not None
    assert ((), 1) == (found.comparison.gone, found.comparison.came_back)


def test_what_was_revoked_came_back(past: ReviewScenario, tmp_path: Path) -> None:
    """A grant whose deny entry was lifted came back; while the entry stands, it is known."""
    past.record_use("alice", "orders:read", 300)
    past.deny("alice", "orders:read")
    earlier = _keep(past.review(), tmp_path)
    assert {"orders:read": "known"} == _changes(past.review(earlier=earlier))
    past.store.lift(["d-subject-alice-orders:read"], at=0.0)
    assert {"orders:read": "came-back"} == _changes(past.review(earlier=EarlierReview(tmp_path / "earlier.json")))


def test_what_was_to_be_removed_and_is_granted_anew_came_back(past: ReviewScenario, tmp_path: Path) -> None:
    """A grant that was proposed for removal, and was granted again since, came back; a kept one is known."""
    past.declare_permissions("orders:read")
    past.record_use("alice", "orders:list", 31)
    past.import_grants(*_held("orders:read", "orders:list"), days=30)
    earlier = _keep(past.review(now=days_ago(30)), tmp_path)
    past.import_grants(*_held("orders:read", "orders:list", since=20))
    assert {"orders:read": "came-back", "orders:list": "known"} == _changes(past.review(earlier=earlier))


def test_a_refused_request_that_became_a_grant_is_new(past: ReviewScenario, tmp_path: Path) -> None:
    """A request is no grant: what was refused and is held now is new, and a refusal does not count as gone."""
    past.record_refusal("alice", "orders:refund", 40)
    past.record_refusal("alice", "orders:list", 40)
    earlier = _keep(past.review(now=days_ago(30)), tmp_path)
    past.import_grants(*_held("orders:refund"))
    found = past.review(earlier=earlier)
    assert {"orders:refund": "new", "orders:list": "known"} == _changes(found)
    assert found.comparison is not None
    assert () == found.comparison.gone


def test_grants_of_other_issuers_are_not_gone(past: ReviewScenario, tmp_path: Path) -> None:
    """A review of one issuer says nothing about the others."""
    past.record_use("alice", "orders:read", 300)
    past.add([past.use("bob", "orders:read", 3, "orders:read")._replace(issuer="https://other.test")])
    earlier = _keep(past.review(), tmp_path)
    found = past.review(earlier=earlier, issuer=ISSUER)
    assert found.comparison is not None
    assert (0, ()) == (found.comparison.new, found.comparison.gone)


@pytest.mark.parametrize("streamed", [True, False])
def test_counted_grants_are_compared_too(
    past: ReviewScenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """Grants that are only counted are compared, whether their findings are wanted or not."""
    past.add([past.use(f"s{number}", "orders:read", 50, "orders:read") for number in range(20)])
    earlier = _keep(past.review(now=days_ago(40)), tmp_path)
    past.add([past.use(f"s{number}", "orders:read", 3, "orders:read") for number in range(30)])
    monkeypatch.setattr(finding_collector, "MAX_LISTED", 5)
    kept: list[Any] = []
    found = past.review(earlier=earlier, on_kept=kept.append if streamed else None)
    assert (30, ()) == (found.unlisted, found.findings)
    assert found.comparison is not None
    assert (10, ()) == (found.comparison.new, found.comparison.gone)
    assert (["known"] * 20 + ["new"] * 10 if streamed else []) == sorted(one.change for one in kept)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_every_grant_is_listed(past: ReviewScenario, monkeypatch: pytest.MonkeyPatch, form: Any) -> None:
    """With a place for the kept ones, JSON and CSV are those of a review without a limit."""
    past.add([past.use(f"s{number}", "orders:read", 3, "orders:read") for number in range(30)])
    past.record_use("=alice", "orders:list", 300)
    whole = render(past.review(), form)
    monkeypatch.setattr(finding_collector, "MAX_LISTED", 5)
    kept = KeptFindings(form)
    limited = past.review(on_kept=kept.add)
    assert (30, 1) == (limited.unlisted, len(limited.findings))
    assert whole == "".join(iter_table(limited, form, kept))
    kept.close()
    if form == "json":
        assert 30 == json.loads(render(limited, "json"))["unlisted"]
    assert "!! 30 grants used and kept: counted here, listed one by one with --format json" in render(limited, "text")


def _json(**changed: Any) -> str:
    return json.dumps({**json.loads(render(sample_review.review(), "json")), **changed})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not the JSON of a review"),
        ("[]", "not the JSON of a review"),
        ("{}", "it names no day and no digest"),
        ('{"now": "2026-10-01"}', "it names no day and no digest"),
        (_json(now="yesterday"), "it names no day and no digest"),
        (_json(now=7), "it names no day and no digest"),
        (_json(findings=[{}]), "KeyError: 'id'"),
        (_json(findings=[7]), "TypeError"),
        (_json(findings=[{"id": "1"}]), "16 hexadecimal digits"),
        (_json(findings=[{"id": "zz34567890123456"}]), "ValueError"),
        (_json(comparison={"gone": [{}]}), "KeyError"),
        (_json(unlisted=3), "does not list every grant"),
        (_json()[:-9], "not the JSON of a review"),
    ],
)
def test_a_file_that_is_no_review_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """The error names the file and what is wrong."""
    file = tmp_path / "earlier.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=fault) as raised:
        EarlierReview(file)
    assert str(file) in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The error is the system's."""
    with pytest.raises(ConfigurationError, match="No such file"):
        EarlierReview(tmp_path / "none.json")


def test_a_later_review_is_not_the_earlier_one(past: ReviewScenario, tmp_path: Path) -> None:
    """A review is compared only with one of the same day or before."""
    earlier = _keep(past.review(), tmp_path)
    with pytest.raises(ConfigurationError, match="compare a later one"):
        past.review(now=days_ago(1), earlier=earlier)
