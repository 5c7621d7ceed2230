"""The application and the settings that the command line names."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

import click

from jwt_lp._support.toml_lines import read_toml
from jwt_lp.cli.output import Failure
from jwt_lp.errors import ConfigurationError, JwtLpError
from jwt_lp.guard.hosts import Host, find_host, installed_hosts
from jwt_lp.guard.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

TOKEN_VARIABLE: Final = "JWT_LP_TOKEN"
_MAX_TOML: Final = 1024 * 1024
_ABSENT: Final = object()
_TARGET_SYNTAX: Final = "write MODULE:APP, such as shop.wsgi:application, or shop.main:create_app() for a factory"


@contextmanager
def silence_logs() -> Generator[None]:
    """Keep the guard's log lines out of every log, because a command only tries requests out."""
    # A filter of a logger does not apply to its children.
    logs = [logging.getLogger(name) for name in ("jwt_lp", "jwt_lp.keys", "jwt_lp.worker")]

    def drop(_: logging.LogRecord) -> bool:
        return False

    for log in logs:
        log.addFilter(drop)
    try:
        yield
    finally:
        for log in logs:
            log.removeFilter(drop)


def application(target: str | None, apps: Sequence[object]) -> tuple[object, Host]:
    """The application that `target` names, or the one that the calling host passed, with its adapter.

    `Failure` if there is neither, or if it is not an application of an installed host.
    """
    if target is None and not apps:
        raise Failure(f"which application? {_TARGET_SYNTAX}")
    app = apps[0] if target is None else load(target)
    try:
        return app, find_host(app)
    except ConfigurationError as error:
        if target is not None and inspect.isroutine(app):
            raise Failure(f"{target} is a function: call it, {target}(), if it makes the application") from None
        if target is not None:
            raise Failure(f"{target}: {error}", *_suggest_apps(target)) from None
        raise


def load(target: str) -> object:
    """The object `MODULE:NAME`, or the result of `MODULE:NAME()`; `Failure` says what is wrong and how to fix it."""
    module_name, _, path = target.partition(":")
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        dotted = module_name.removesuffix(".py").replace("\\", ".").replace("/", ".").strip(".")
        raise Failure(f"{target}: name the module, not the file: {dotted}:{path or 'app'}")
    if not module_name or not path:
        raise Failure(f"{target}: {_TARGET_SYNTAX}")
    loaded = resolve_attribute(import_project_module(module_name), path.removesuffix("()"), target)
    if not path.endswith("()"):
        return loaded
    if not callable(loaded):
        raise Failure(f"{target}: it is not a function but {_type_text(loaded)}; leave the () out")
    with _wrap_errors(f"calling {target} failed"), silence_logs():
        return loaded()


def import_project_module(name: str) -> ModuleType:
    """Import a module as the project does, with the current folder first on the path."""
    folder = str(os.getcwd())  # noqa: PTH109 - as Python itself puts it there
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with _wrap_errors(f"importing {name} failed"), silence_logs():
            return import_module(name)
    except Failure as failure:
        cause = failure.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{name}.".startswith(f"{cause.name}."):
            raise Failure(f"there is no module {cause.name} in {folder} or among the installed packages") from None
        raise


def resolve_attribute(start: object, path: str, target: str) -> object:
    """The attribute `path` of `start`; otherwise `Failure`, which lists the applications in the module."""
    value: object = start
    for name in path.split("."):
        value = getattr(value, name, _ABSENT)
        if value is _ABSENT:
            raise Failure(f"{target}: there is no {name} in it", *_suggest_apps(target))
    return value


def _suggest_apps(target: str) -> list[str]:
    name = target.partition(":")[0]
    module = sys.modules.get(name)
    installed = installed_hosts()
    apps = [
        f"{name}:{attribute}"
        for attribute, value in sorted(vars(module).items() if module else ())
        # None stands for Django's application, which no module holds.
        if value is not None and not attribute.startswith("_") and _is_application(value, installed)
    ]
    return [f"there is {', '.join(apps)}"] if apps else []


def _is_application(value: object, installed: Sequence[Host]) -> bool:
    try:
        return any(host.recognises(value) for host in installed)
    except Exception:  # noqa: BLE001 - a proxy outside its context may raise anything, and is not an application
        return False


@contextmanager
def _wrap_errors(action: str) -> Generator[None]:
    """Turn an error of the project's code into a `Failure` with file and line; errors of jwt-lp pass unchanged."""
    try:
        yield
    except JwtLpError:
        raise
    except (Exception, SystemExit) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Failure(f"{action}: {message}", f"raised at {place.filename}:{place.lineno}") from error


def _type_text(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def settings(target: str | None) -> Settings:
    """The settings that `target` names: `MODULE:NAME`, `MODULE` (its `JWT_LP`), a TOML file, or `env`.

    Without `target`, Django's settings if DJANGO_SETTINGS_MODULE is set, otherwise those of the environment. `Failure`
    if there are none, `ConfigurationError` for faults in them.
    """
    if target is None:
        target = os.environ.get("DJANGO_SETTINGS_MODULE") or _environment_settings()
    if target == "env":
        # The token's variable is named like a setting, but is none.
        return Settings.from_env({name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE})
    if target.endswith(".toml"):
        return Settings.from_mapping(_settings_table(read_toml(target, _MAX_TOML)[0]))
    name, _, path = target.partition(":")
    return Settings.from_mapping(
        _settings_mapping(resolve_attribute(import_project_module(name), path or "JWT_LP", target), target)
    )


def named_settings(apps: Sequence[object], target: str | None, where: str | None) -> Settings | None:
    """The settings of the application (`target`, or the host's own) or those at `where`; None if there is neither."""
    if target and where:
        raise click.UsageError("--app has settings of its own: leave --settings out")
    if target or (apps and not where):
        app, host = application(target, apps)
        with silence_logs():
            return host.guard(app).settings
    return settings(where) if where else None


def _environment_settings() -> str:
    # These may be set for other commands, so they do not mean that the environment has settings.
    others = {TOKEN_VARIABLE, "JWT_LP_DEV", "JWT_LP_STORE", "JWT_LP_PUSH"}
    if any(name.startswith("JWT_LP_") and name not in others for name in os.environ):
        return "env"
    raise Failure(
        "which settings? pass --app MODULE:APP or --settings MODULE:NAME, a file.toml or env, "
        "or set JWT_LP_ISSUER and the others"
    )


def _settings_table(data: Mapping[str, object]) -> Mapping[str, object]:
    inner = data.get("jwt_lp")
    return cast("Mapping[str, object]", inner) if isinstance(inner, Mapping) else data


def _settings_mapping(value: object, target: str) -> Mapping[str, object] | Settings:
    if isinstance(value, Settings):
        return value
    # A Flask `app.config`, or a module of Django settings.
    type_text, inner = _type_text(value), getattr(value, "JWT_LP", None)
    if isinstance(value, Mapping):
        values = cast("Mapping[str, object]", value)
        inner = values.get("JWT_LP", values)
    if isinstance(inner, Settings | Mapping):
        return cast("Mapping[str, object]", inner)
    raise Failure(f"{target}: it is {type_text}, not a mapping of settings")


def relaxed_settings(settings: Settings) -> list[str]:
    """A warning for each setting that relaxes enforcement: observe mode and development tokens."""
    warnings: list[str] = []
    if settings.observe_until is not None:
        until = settings.observe_until.isoformat()
        expired = settings.observe_until < datetime.now(UTC).date()
        warnings.append(
            f"OBSERVE_UNTIL = {until} is over: requirements are enforced, remove the setting"
            if expired
            else f"OBSERVE_UNTIL = {until}: requirements are observed, NOT enforced, until then"
        )
    if settings.development:
        warnings.append("JWT_LP_DEV=1: tokens of the development key are accepted from this machine")
    return warnings


app_option: Final = click.option(
    "--app", "target", metavar="MODULE:APP", help="The application whose guard and settings are used."
)
settings_option: Final = click.option(
    "--settings",
    "where",
    metavar="WHERE",
    help="The settings: MODULE:NAME, MODULE (its JWT_LP), a FILE.toml, or env. "
    "Default: DJANGO_SETTINGS_MODULE, otherwise env.",
)
named_settings_option: Final = click.option(
    "--settings",
    "where",
    metavar="WHERE",
    help="The settings: MODULE:NAME, MODULE (its JWT_LP), a FILE.toml, or env. Default: none.",
)
