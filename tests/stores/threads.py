"""Calls to a store in threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.stores import Store


def at_once(store: Store, *calls: Callable[[], Any]) -> list[Any]:
    """What each call returns, or the error that it raises; each has a thread of its own."""

    def run(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the caller compares it
            return error
        finally:
            # Django has a connection for each thread.
            if store.name.startswith("django:"):
                store.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
