"""Pictures of every page of the console, for people to look at.

`cd tests && python -m console.screenshots FOLDER [NAME ...]` writes them: wide and narrow, light and dark.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from chromium import chromium
from console.page_list import DECIDES, EMPTY_PAGES, SUBJECTS, ConsolePage, FurnishedStore, furnish
from console.serving import ServedConsole, served_console
from jwt_lp.stores import open_store

LOOKS = {
    f"{width}-{scheme}": {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for width in (390, 1440)
    for scheme in ("light", "dark")
}


@contextmanager
def furnished_console(folder: Path, *, team: int = 24) -> Iterator[tuple[ServedConsole, FurnishedStore]]:
    """A console with something on every page."""
    with ExitStack() as stack:
        store = open_store(f"sqlite:///{folder}/store.db")
        stack.callback(store.close)
        store.migrate()
        furnished = furnish(store, folder, team=team)
        quarter = furnished.quarter
        options: dict[str, Any] = {"policy": quarter.policy, "people": quarter.people, "plans": furnished.plans}
        yield stack.enter_context(served_console(store, clock=quarter.clock, **options)), furnished


@contextmanager
def empty_console(folder: Path) -> Iterator[ServedConsole]:
    """A console on the first day: nobody has recorded, imported or reviewed anything."""
    with ExitStack() as stack:
        store = open_store(f"sqlite:///{folder}/empty.db")
        stack.callback(store.close)
        store.migrate()
        yield stack.enter_context(served_console(store))


def open_context(console: ServedConsole, browser: Any, who: str, **options: Any) -> Any:
    """A context of the browser in which the engineer, or somebody who only decides, is signed in."""
    person = console.person(SUBJECTS[who], *(() if who == "engineer" else (DECIDES,)))
    return console.context(browser, person, **options)


def _shoot(console: ServedConsole, browser: Any, pages: list[ConsolePage], target: Path) -> None:
    for look, options in LOOKS.items():
        for who in sorted({page.who for page in pages}):
            context = open_context(console, browser, who, **options)
            tab = context.new_page()
            for page in pages:
                if page.who == who:
                    tab.goto(console.url + page.path)
                    tab.screenshot(path=target / f"{page.name}-{look}.png", full_page=True)
            context.close()


def main(target: Path, names: list[str]) -> None:
    """Write the pictures of the pages whose names begin with one of `names`, or of all."""
    target.mkdir(parents=True, exist_ok=True)

    def chosen(pages: list[ConsolePage]) -> list[ConsolePage]:
        return [page for page in pages if not names or page.name.startswith(tuple(names))]

    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        with furnished_console(Path(folder)) as (console, furnished):
            _shoot(console, browser, chosen(furnished.pages()), target)
        with empty_console(Path(folder)) as console:
            _shoot(console, browser, chosen(EMPTY_PAGES), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
