"""The guard of this process, and access to it from anywhere in the adapter."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from django.apps import apps
from django.conf import settings

from jwt_lp import ConfigurationError, Guard


class GuardHolder:
    """Holds one guard, which is made from `settings.JWT_LP` at the first call of `guard`."""

    def __init__(self) -> None:
        self._guard: Guard | None = None
        self._lock = Lock()

    def guard(self) -> Guard:
        """The guard; `ConfigurationError` lists every fault of the settings."""
        # Only the first calls need the lock.
        guard = self._guard
        if guard is None:
            with self._lock:
                guard = self._guard = self._guard or Guard(getattr(settings, "JWT_LP", None))  # type: ignore[arg-type]
        return guard

    @contextmanager
    def swap_guard(self, guard: Guard) -> Generator[None]:
        """Use `guard` while the context lasts."""
        previous, self._guard = self._guard, guard
        try:
            yield
        finally:
            self._guard = previous

    def discard_on_change(self, *, setting: str, **_: Any) -> None:
        """Close and discard the guard if `setting` is JWT_LP: a receiver of the signal `setting_changed`."""
        if setting == "JWT_LP":
            previous, self._guard = self._guard, None
            if previous is not None:
                previous.close()


def guard_holder() -> GuardHolder:
    """The holder that the app has; `ConfigurationError` if the app is not installed."""
    try:
        holder = getattr(apps.get_app_config("jwt_lp_django"), "guard_holder", None)
    except LookupError:
        holder = None
    if not isinstance(holder, GuardHolder):
        raise ConfigurationError('jwt_lp_django is not installed: INSTALLED_APPS += ["jwt_lp_django"]')
    return holder


def guard_from(request_or_app: object = None) -> Guard:
    """The guard of this process. The argument is not used: a process has one guard.

    `ConfigurationError` if the app is not installed, or with every fault of `settings.JWT_LP`.
    """
    return guard_holder().guard()
