"""A real browser for tests: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prerequisites import require

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[Any]:
    """An open browser; the test is skipped without Playwright, and needs Chromium."""
    pytest.importorskip("playwright", reason="the page is read in a browser, which Playwright drives")
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, _NAMES)), None)
    with sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        require(
            Path(path).exists(), "no Chromium: apt-get install chromium, or playwright install --with-deps chromium"
        )
        # Chromium's own sandbox refuses to run as root.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        opened = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield opened
        opened.close()
