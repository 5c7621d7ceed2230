"""Assembly of a guard: the parts that its settings ask for. Only these are imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.guard.authentication import Authenticator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.listeners import DecisionListener
    from jwt_lp.guard.local_users import LocalUsers
    from jwt_lp.guard.runtime import GuardRuntime
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync
    from jwt_lp.observability.telemetry import Measured


def make_authenticator(
    settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float]
) -> Authenticator:
    """The authenticator, which reads no cookie without `COOKIE`, and no proof without `DPOP`."""
    dpop = any(issuer.dpop for issuer in settings.issuers)
    if settings.cookies is not None and dpop:
        from jwt_lp.guard.cookie_dpop_authentication import CookieDpopAuthenticator

        return CookieDpopAuthenticator(settings, worker, sync, clock)
    if settings.cookies is not None:
        from jwt_lp.guard.cookie_authentication import CookieAuthenticator

        return CookieAuthenticator(settings, worker, sync, clock)
    if dpop:
        from jwt_lp.guard.dpop_authentication import DpopAuthenticator

        return DpopAuthenticator(settings, worker, sync, clock)
    return Authenticator(settings, worker, sync, clock)


def make_local_users(settings: Settings) -> LocalUsers | None:
    """The application's own users; None without `LOCAL_USER`."""
    if settings.local_user is None:
        return None
    from jwt_lp.guard.local_users import LocalUsers

    return LocalUsers(settings.local_user, settings.local_user_ttl)


def open_runtime(settings: Settings, worker: Worker, clock: Callable[[], float]) -> GuardRuntime | None:
    """The revocations and the recorded usage; None without `STORE`."""
    if not settings.store:
        return None
    from jwt_lp.guard import runtime

    return runtime.open_runtime(settings, worker, clock)


def settings_listeners(settings: Settings, guard: Measured) -> Iterator[DecisionListener]:
    """What the settings want told of every decision of `guard`: the audit log and OpenTelemetry."""
    if settings.audit is not None:
        from jwt_lp.observability.audit_log import AuditLog

        yield AuditLog(settings.audit, service=settings.service)
    if settings.opentelemetry:
        from jwt_lp.observability.telemetry import Telemetry

        yield Telemetry(guard, service=settings.service, show_subject=settings.opentelemetry == "subject")
