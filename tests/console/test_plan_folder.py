"""The folder of a console's plans: what it lists, reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("tomlkit")

from jwt_lp.console import plan_folder
from jwt_lp.console.plan_folder import PlanFolder
from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.review.plan import Plan, frozen_plan
from review_factory import LATER, at, make_finding, make_review


def plan_of(*names: str) -> Plan:
    """A plan that takes something from these subjects."""
    return frozen_plan.from_review(make_review(*map(make_finding, names)), now=at(LATER))


@pytest.fixture
def folder(tmp_path: Path) -> PlanFolder:
    return PlanFolder(tmp_path)


def test_a_plan_is_written_once(folder: PlanFolder, tmp_path: Path) -> None:
    """The same plan again changes nothing; another one under the same name is refused."""
    folder.add("q", plan_of("alice"))
    before = (tmp_path / "q.plan").stat()
    folder.add("q", plan_of("alice"))
    with pytest.raises(PolicyError, match="has another plan of this name"):
        folder.add("q", plan_of("bob"))
    assert before == (tmp_path / "q.plan").stat()
    assert 0o600 == before.st_mode & 0o777


def test_a_journal_without_its_plan_is_not_given_another(folder: PlanFolder, tmp_path: Path) -> None:
    """Whoever removed the plan file of an applied plan gets no new plan beside its journal."""
    (tmp_path / "q.plan.journal").write_text("")
    with pytest.raises(PolicyError, match="there is a journal without its plan"):
        folder.add("q", plan_of("alice"))


def test_unchanged_files_are_read_once(folder: PlanFolder, tmp_path: Path) -> None:
    """What was read is given again until the file is another one; with `fresh` it is read in any case."""
    folder.add("q", plan_of("alice"))
    first = folder.find("q")
    assert first is folder.find("q")
    assert folder.list() == folder.list()
    assert first is not folder.find("q", fresh=True)
    (tmp_path / "q.plan").write_text(plan_of("bob").encode())
    found = folder.find("q")
    assert found is not None
    assert "bob" == found.plan.items[0].name


def test_only_few_plans_are_kept_in_memory(folder: PlanFolder) -> None:
    """The fifth plan takes the place of the first one."""
    for name in "abcde":
        folder.add(name, plan_of(name))
    first = folder.find("a")
    for name in "bcde":
        folder.find(name)
    assert first is not folder.find("a")
    assert ["a", "b", "c", "d", "e"] == sorted(each.id for each in folder.list())


@pytest.mark.parametrize("name", ["", ".", "..", "../q", "a/b", "/etc/passwd", "q\0", "q\n", "é", "a" * 101])
def test_attack_a_text_that_is_no_id_names_no_file(folder: PlanFolder, name: str) -> None:
    """No id leads out of the folder."""
    with pytest.raises(ConfigurationError, match="is not the id of a plan"):
        folder.find(name)


def test_other_files_are_left_out(folder: PlanFolder, tmp_path: Path) -> None:
    """Journals, notices, hidden files, folders and links are no plans."""
    folder.add("q", plan_of("alice"))
    for name in ("q.plan.journal", "q.plan.notice.csv", ".hidden.plan", "README"):
        (tmp_path / name).touch()
    (tmp_path / "folder.plan").mkdir()
    (tmp_path / "link.plan").symlink_to(tmp_path / "q.plan")
    assert (["q"], None) == ([each.id for each in folder.list()], folder.find("link"))


@pytest.mark.parametrize(
    ("content", "fault"), [(b"{}", "not a plan"), (b"\xff", "cannot be read"), (b"[" * 100_000, "not a plan")]
)
def test_a_file_that_is_no_plan_is_listed_with_its_fault(
    folder: PlanFolder, tmp_path: Path, content: bytes, fault: str
) -> None:
    """One broken file hides no other plan."""
    folder.add("good", plan_of("alice"))
    (tmp_path / "bad.plan").write_bytes(content)
    faults = {each.id: each.fault for each in folder.list()}
    assert ("", True) == (faults["good"], fault in faults["bad"])


def test_attack_a_huge_file_is_not_read(folder: PlanFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the limit is refused by its size."""
    monkeypatch.setattr(plan_folder, "MAX_BYTES", 1 << 20)
    with (tmp_path / "q.plan").open("wb") as file:
        os.truncate(file.fileno(), (1 << 20) + 1)
    with pytest.raises(ConfigurationError, match="more than 1 MB"):
        folder.find("q")


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    """The message has no traceback and no path of the machine."""
    with pytest.raises(ConfigurationError, match="the folder of plans cannot be read: No such file"):
        PlanFolder(tmp_path / "none").list()


def test_large_plans_are_listed_once_they_were_opened(
    folder: PlanFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look at the list reads a bounded number of bytes, and says of the others that they were not read."""
    for name in "ab":
        (tmp_path / f"{name}.plan").write_text(plan_of(name).encode())
    monkeypatch.setattr(plan_folder, "MAX_READ", (tmp_path / "a.plan").stat().st_size)
    assert ["", "new"] == sorted(each.state for each in folder.list())
    assert ["new", "new"] == [each.state for each in folder.list()]
    other = PlanFolder(tmp_path)
    monkeypatch.setattr(plan_folder, "MAX_READ", 0)
    other.find("a")
    assert {"a": "new", "b": ""} == {each.id: each.state for each in other.list()}
