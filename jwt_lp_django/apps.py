"""Where does this process keep its guard?"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.signals import setting_changed

from jwt_lp import ConfigurationError, Guard

if TYPE_CHECKING:
    from types import ModuleType


class LeastPrivilegeConfig(AppConfig):
    """The app. It holds the one guard of this process, made from `settings.JWT_LP` when first asked for."""

    name = "jwt_lp_django"
    verbose_name = "Least privilege"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        super().__init__(app_name, app_module)
        self._guard: Guard | None = None
        self._lock = Lock()

    def ready(self) -> None:
        """Register the system checks, write what was counted when an ASGI server stops, and forget the guard whenever a test changes its settings."""
        from jwt_lp_django import checks, lifespan

        checks.register()
        lifespan.install_lifespan()
        setting_changed.connect(self._setting_changed)
        if apps.is_installed("drf_spectacular") and find_spec("rest_framework"):
            # It makes itself known when it is imported.
            import_module("jwt_lp_django.spectacular")

    def guard(self) -> Guard:
        """The guard; `ConfigurationError` lists what is wrong with the settings."""
        # Most calls find it: the lock is for the first ones only.
        guard = self._guard
        if guard is None:
            with self._lock:
                guard = self._guard = self._guard or Guard(getattr(settings, "JWT_LP", None))  # type: ignore[arg-type]
        return guard

    def swap_guard(self, guard: Guard) -> AbstractContextManager[None]:
        """Use `guard` while the context lasts."""

        @contextmanager
        def using() -> Generator[None]:
            before, self._guard = self._guard, guard
            try:
                yield
            finally:
                self._guard = before

        return using()

    def _setting_changed(self, *, setting: str, **_: Any) -> None:
        if setting == "JWT_LP":
            old, self._guard = self._guard, None
            if old is not None:
                old.close()


def config() -> LeastPrivilegeConfig:
    """The app; `ConfigurationError` where it is not installed."""
    try:
        found = apps.get_app_config("jwt_lp_django")
    except LookupError:
        found = None
    if not isinstance(found, LeastPrivilegeConfig):
        raise ConfigurationError('jwt_lp_django is not installed: INSTALLED_APPS += ["jwt_lp_django"]')
    return found


def guard_from(request_or_app: object = None) -> Guard:
    """The guard of this process, whatever request or application is given.

    `ConfigurationError` where the app is not installed, or lists every fault of `settings.JWT_LP`.
    """
    return config().guard()
