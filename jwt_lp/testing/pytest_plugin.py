"""The pytest fixture `lp` for tests of guarded views; nothing else is imported until a test uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jwt_lp.testing.authority import LeastPrivilegeTesting


@pytest.fixture
def lp() -> Iterator[LeastPrivilegeTesting]:
    """An issuer for this test: `lp.install(app)`, `lp.login(client, permissions=[...])`, `lp.headers(...)`."""
    from jwt_lp.testing.authority import LeastPrivilegeTesting

    testing = LeastPrivilegeTesting()
    yield testing
    testing.close()
