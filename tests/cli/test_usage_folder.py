"""`jwt-lp usage export --parquet`, and reviews and backtests with `--usage`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("duckdb")

from jwt_lp.stores import open_store
from review_scenario import NOW, ReviewScenario, days_ago, noon_of

URL = "sqlite:///access.db"


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on the store of the project's folder, which has usage of a year."""
    store = open_store(URL)
    past = ReviewScenario(store, Path())
    past.record_period()
    past.record_use("alice", "orders:read", 300, 50)
    past.record_use("bob", "orders:refund", 250)
    past.record_use("=carol", "orders:refund", 2)
    store.close()

    def run(*arguments, store=URL):
        code, out, err = cli(*arguments, JWT_LP_STORE=store, COLUMNS="400")
        return code, out, " ".join(err.split())

    return run


def _export(run, *arguments, store=URL):
    return run("usage", "export", "--parquet", "usage", *arguments, store=store)


def test_a_review_of_a_folder_is_that_of_the_store(run) -> None:
    """The same bytes in each format, but for the name of the store."""
    code, out, err = _export(run)
    assert (0, "") == (code, err)
    assert "2026-08: 0 rows" in out
    assert "2026-09: 1 row\n" in out
    assert "usage: 4 rows in 15 months were written" in out
    named = f"usage in {Path('usage').resolve()}"
    for form in ("json", "csv", "text"):
        arguments = ("review", "--now", NOW, "--format", form)
        code, expected, _ = run(*arguments)
        found = run(*arguments, "--usage", "usage")
        _, out, err = found
        assert (0, "") == (found[0], err)
        assert form == "csv" or named in out
        assert _without_time(expected) == _without_time(out.replace(f", {named}", ""))


def _without_time(output: str) -> str:
    """The output without the second in which the review was made."""
    return re.sub(r'\d{4}-\d\d-\d\dT[\d:]+Z|"made_at": [^,]+', "TIME", output)


def test_a_backtest_of_a_folder_is_that_of_the_store(run) -> None:
    """The same bytes."""
    _export(run)
    arguments = ("backtest", "--now", NOW, "--format", "json", "--horizon", "30")
    code, expected, _ = run(*arguments)
    assert 0 == code
    assert (0, expected, "") == run(*arguments, "--usage", "usage")


def test_what_the_store_lost_is_shown(run) -> None:
    """Rows that were purged stay, and are counted."""
    _export(run)
    store = open_store(URL)
    store.purge(before=days_ago(100), now=noon_of(NOW))
    store.close()
    assert "2026-01: 1 row, 1 of them no longer in the store" in _export(run)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "2026-10-05"], "whole months: pass --since 2026-10-01"),
        (["--until", "2026-10-05"], "whole months: pass --until 2026-10-31"),
        (["--subject", "alice"], "all usage of a month: leave out --subject"),
        (["--format", "csv"], "leave out --format"),
    ],
)
def test_a_part_of_a_month_is_refused(run, arguments: list[str], message: str) -> None:
    """A review of the folder would take what was left out as unused."""
    code, _, err = _export(run, *arguments)
    assert (2, True) == (code, message in err)
    assert not Path("usage").exists()


def test_months_of_days(run) -> None:
    """`--since` and `--until` are the first and the last day of a month."""
    code, out, _ = _export(run, "--since", "2026-01-01", "--until", "2026-02-28")
    assert (0, ["2026-01: 1 row", "2026-02: 1 row"]) == (code, out.splitlines()[:2])
    assert ["month=2026-01", "month=2026-02"] == sorted(entry.name for entry in Path("usage").iterdir())


def test_a_mistyped_store_or_folder(run) -> None:
    """Nothing is written of an empty store, a missing folder is an error, and another store's usage is marked."""
    code, out, _ = _export(run, store="sqlite:///acess.db")
    assert (0, True) == (code, "nothing was recorded or imported there, so nothing was written" in out)
    code, _, err = run("review", "--usage", "nonesuch")
    assert (2, True) == (code, "nonesuch cannot be used: No such file or directory" in err)
    _export(run)
    code, _, err = run("review", "--usage", "usage", "--now", NOW, store="sqlite:///acess.db")
    assert (0, True) == (code, f"the usage in usage is that of {URL}, and the grants are those of sqlite" in err)
