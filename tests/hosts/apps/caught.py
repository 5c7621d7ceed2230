"""Ways in which a project's code catches what `enforce` raises, the same for every host.

Each requires `caught:use` by `ask`, which is the host's `enforce` for one request, and then continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

Ask = Callable[[str], Any]

# Whether `ask` refused each background task.
OUTCOMES: list[bool] = []


def view(ask: Ask) -> None:
    with suppress(Exception):
        ask("caught:use")


def bare(ask: Ask) -> None:
    with suppress(BaseException):
        ask("caught:use")


def helper(ask: Ask) -> None:
    def allowed() -> bool:
        try:
            ask("caught:use")
        except Exception:  # noqa: BLE001 - the case under test
            return False
        return True

    allowed()


def twice(ask: Ask) -> None:
    """A later success does not undo the refusal."""
    view(ask)
    ask("orders:list")


def again(ask: Ask) -> None:
    """A second refusal does not replace the first."""
    view(ask)
    with suppress(Exception):
        ask("caught:more")


def error(ask: Ask) -> None:
    if refused(ask):
        raise RuntimeError("the view failed after it was refused")


def refused(ask: Ask) -> bool:
    try:
        ask("caught:use")
    except Exception:  # noqa: BLE001 - the case under test
        return True
    return False


def background(ask: Ask) -> None:
    OUTCOMES.append(refused(ask))


async def task(ask: Ask) -> None:
    async def asking() -> None:
        ask("caught:use")

    with suppress(Exception):
        await asyncio.create_task(asking())


async def gather(ask: Ask) -> None:
    async def asking(permission: str) -> None:
        await asyncio.sleep(0)
        ask(permission)

    await asyncio.gather(asking("orders:list"), asking("caught:use"), return_exceptions=True)


async def to_thread(ask: Ask) -> None:
    with suppress(Exception):
        await asyncio.to_thread(ask, "caught:use")


async def executor(ask: Ask) -> None:
    with ThreadPoolExecutor(1) as pool, suppress(Exception):
        await asyncio.get_running_loop().run_in_executor(pool, partial(copy_context().run, ask, "caught:use"))


def pool(ask: Ask) -> None:
    with ThreadPoolExecutor(1) as threads:
        # Flask keeps its request in the context, so the thread needs a copy of it.
        failed = threads.submit(copy_context().run, ask, "caught:use").exception()
    del failed


WAYS: tuple[Callable[[Ask], None], ...] = (view, bare, helper, twice, again, error, pool)
AWAITED: tuple[Callable[[Ask], Awaitable[None]], ...] = (task, gather, to_thread, executor)


def _run(way: Callable[[Ask], Any], ask: Ask) -> None:
    asyncio.run(way(ask))


async def _await(way: Callable[[Ask], None], ask: Ask) -> None:
    way(ask)


# For views that are functions, and for views that are coroutine functions.
PLAIN: dict[str, Callable[[Ask], None]] = {
    **{way.__name__: way for way in WAYS},
    **{way.__name__: partial(_run, way) for way in AWAITED},
}
AWAITABLE: dict[str, Callable[[Ask], Awaitable[None]]] = {
    **{way.__name__: partial(_await, way) for way in WAYS},
    **{way.__name__: way for way in AWAITED},
}
