"""Host for tests whose applications and test clients are dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from jwt_lp import ConfigurationError, Guard, Route

POINTS = "[jwt_lp.hosts]\n"


class FakeHost:
    """Recognises applications of kind `fake` and clients of kind `client`."""

    name = "fake"

    def recognises(self, app: object) -> TypeGuard[dict[str, Any]]:
        return isinstance(app, dict) and app.get("kind") == "fake"

    def routes(self, app: object) -> Sequence[Route]:
        return ()

    def guard(self, app: object) -> Guard:
        guard = app.get("guard") if self.recognises(app) else None
        if isinstance(guard, Guard):
            return guard
        raise ConfigurationError("the application has no guard")

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        return None

    @contextmanager
    def swap_guard(self, app: object, guard: Guard) -> Iterator[None]:
        assert self.recognises(app)
        before, app["guard"] = app["guard"], guard
        yield
        app["guard"] = before

    def login(self, client: object, authorization: str) -> bool:
        if not (isinstance(client, dict) and client.get("kind") == "client"):
            return False
        client["authorization"] = authorization
        return True


host = FakeHost()


def install_fake_host(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str = "a-fake = fakehost:host\n") -> None:
    """Install a distribution with these entry points during the test."""
    info = folder / "fakehost-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakehost\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(POINTS + points, "utf-8")
    monkeypatch.syspath_prepend(str(folder))
