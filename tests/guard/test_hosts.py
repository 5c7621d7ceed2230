"""Discovery of adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

import fakehost
from jwt_lp import ConfigurationError
from jwt_lp.guard.hosts import find_host, installed_hosts


def test_adapters_are_found_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points of all distributions are the adapters, in the order of their names."""
    fakehost.install_fake_host(tmp_path, monkeypatch, "zzz = fakehost:host\na-fake = fakehost:host\n")
    names = [host.name for host in installed_hosts()]
    assert ("fake", "fake", 2) == (names[0], names[-1], names.count("fake"))


def test_the_adapter_that_recognises_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter of an application is the one that recognises it."""
    fakehost.install_fake_host(tmp_path, monkeypatch)
    assert fakehost.host is find_host({"kind": "fake"})


@pytest.mark.parametrize("app", [{}, "app", 5, object()])
def test_an_application_of_no_host(app: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown application is a `ConfigurationError` that names its type and the installed hosts."""
    fakehost.install_fake_host(tmp_path, monkeypatch)
    with pytest.raises(ConfigurationError, match=rf"{type(app).__name__} is not an application .*fake"):
        find_host(app)


def test_a_host_that_is_not_installed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter whose framework is missing is left out, and the others are found."""
    (tmp_path / "lacking_adapter.py").write_text("import a_framework_that_nobody_has.routing\n", "utf-8")
    fakehost.install_fake_host(tmp_path, monkeypatch, "a-lacking = lacking_adapter:host\nb-fake = fakehost:host\n")
    assert "fake" == installed_hosts()[0].name


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import jwt_lp_nowhere.deeper\n", id="a module of ours"),
        pytest.param("raise ModuleNotFoundError\n", id="a module without a name"),
        pytest.param("raise ImportError('broken')\n", id="a broken adapter"),
    ],
)
def test_a_broken_adapter_raises(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in an adapter itself is raised, so that no route is silently ignored."""
    module = "broken_adapter_" + tmp_path.name.rsplit("_", 1)[-1]
    (tmp_path / f"{module}.py").write_text(text, "utf-8")
    fakehost.install_fake_host(tmp_path, monkeypatch, f"broken = {module}:host\n")
    with pytest.raises(ImportError):
        installed_hosts()
