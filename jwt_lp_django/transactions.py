"""Views whose writes are in transactions of the store, not in that of the request."""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction


def without_atomic_requests(view: Any) -> Any:
    """The view outside `ATOMIC_REQUESTS`: what the store has reported as written must not be rolled back."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
