"""The Django app: it holds the guard, and registers the system checks and the shutdown hook."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from django.apps import AppConfig, apps
from django.core.signals import setting_changed

from jwt_lp_django import checks, lifespan, signals
from jwt_lp_django.guard_access import GuardHolder

if TYPE_CHECKING:
    from types import ModuleType


class LeastPrivilegeConfig(AppConfig):
    """The app `jwt_lp_django`. Its `guard_holder` holds the guard of this process."""

    name = "jwt_lp_django"
    verbose_name = "Least privilege"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        super().__init__(app_name, app_module)
        self.guard_holder = GuardHolder()

    def ready(self) -> None:
        """Register the system checks and the signal handlers.

        Recorded usage is written when an ASGI server stops; the guard is discarded when a test changes `JWT_LP`.
        """
        checks.register()
        signals.connect()
        lifespan.install_lifespan()
        setting_changed.connect(self.guard_holder.discard_on_change)
        if apps.is_installed("drf_spectacular") and find_spec("rest_framework"):
            # The module registers itself when it is imported.
            import_module("jwt_lp_django.spectacular")
