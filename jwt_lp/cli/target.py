"""Which application, and which settings, are meant?"""

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
    """Keep the guard's log lines out of every log: what a command tries out happened to nobody."""
    # A filter of a logger does not see what its children write.
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

    `Failure` where neither says one, and where no installed host made what is there.
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
    """What `MODULE:NAME` names, `MODULE:NAME()` makes; `Failure` says what is wrong and what would do."""
    module_name, _, path = target.partition(":")
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        dotted = module_name.removesuffix(".py").replace("\\", ".").replace("/", ".").strip(".")
        raise Failure(f"{target}: name the module, not the file: {dotted}:{path or 'app'}")
    if not module_name or not path:
        raise Failure(f"{target}: {_TARGET_SYNTAX}")
    found = resolve_attribute(import_project_module(module_name), path.removesuffix("()"), target)
    if not path.endswith("()"):
        return found
    if not callable(found):
        raise Failure(f"{target}: it is no function but {_type_text(found)}; leave the () out")
    with _wrap_errors(f"calling {target} failed"), silence_logs():
        return found()


def import_project_module(name: str) -> ModuleType:
    """Import a module as the project would, with the current folder first on the path."""
    folder = str(os.getcwd())  # noqa: PTH109 - what Python itself puts there
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with _wrap_errors(f"importing {name} failed"), silence_logs():
            return import_module(name)
    except Failure as failure:
        cause = failure.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{name}.".startswith(f"{cause.name}."):
            raise Failure(
                f"there is no module {cause.name}: it is looked for in {folder} and among what is installed"
            ) from None
        raise


def resolve_attribute(start: object, path: str, target: str) -> object:
    """`start.path`; `Failure` lists the applications that there are instead."""
    found: object = start
    for name in path.split("."):
        found = getattr(found, name, _ABSENT)
        if found is _ABSENT:
            raise Failure(f"{target}: there is no {name} in it", *_suggest_apps(target))
    return found


def _suggest_apps(target: str) -> list[str]:
    name = target.partition(":")[0]
    found = sys.modules.get(name)
    installed = installed_hosts()
    apps = [
        f"{name}:{each}"
        for each, value in sorted(vars(found).items() if found else ())
        # None is Django's own question: it stands for no application that a module holds.
        if value is not None and not each.startswith("_") and _is_application(value, installed)
    ]
    return [f"there is {', '.join(apps)}"] if apps else []


def _is_application(value: object, installed: Sequence[Host]) -> bool:
    try:
        return any(host.recognises(value) for host in installed)
    except Exception:  # noqa: BLE001 - a proxy without its context may raise anything, and is no application
        return False


@contextmanager
def _wrap_errors(what: str) -> Generator[None]:
    """Turn whatever the project's own code raises into one sentence with the place; our faults stay as they are."""
    try:
        yield
    except JwtLpError:
        raise
    except (Exception, SystemExit) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Failure(f"{what}: {said}", f"raised at {place.filename}:{place.lineno}") from error


def _type_text(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def settings(target: str | None) -> Settings:
    """The settings that `target` names: `MODULE:NAME`, `MODULE` (its `JWT_LP`), a TOML file, or `env`.

    Without one, Django's where DJANGO_SETTINGS_MODULE is set, and the environment's otherwise. `Failure` where
    there are none, `ConfigurationError` for what is wrong in them.
    """
    if target is None:
        target = os.environ.get("DJANGO_SETTINGS_MODULE") or _environment_settings()
    if target == "env":
        # The token to explain is no setting, though its variable is named like one.
        return Settings.from_env({name: each for name, each in os.environ.items() if name != TOKEN_VARIABLE})
    if target.endswith(".toml"):
        return Settings.from_mapping(_settings_table(read_toml(target, _MAX_TOML)[0]))
    name, _, path = target.partition(":")
    return Settings.from_mapping(
        _settings_mapping(resolve_attribute(import_project_module(name), path or "JWT_LP", target), target)
    )


def named_settings(apps: Sequence[object], target: str | None, where: str | None) -> Settings | None:
    """The settings of the application `target` or the one that a host passed, or those at `where`; None for neither."""
    if target and where:
        raise click.UsageError("--app has settings of its own: leave --settings out")
    if target or (apps and not where):
        app, host = application(target, apps)
        with silence_logs():
            return host.guard(app).settings
    return settings(where) if where else None


def _environment_settings() -> str:
    # Set for other commands, where an application has settings of its own.
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


def _settings_mapping(found: object, target: str) -> Mapping[str, object] | Settings:
    if isinstance(found, Settings):
        return found
    # A Flask `app.config`, or a module of Django settings.
    what, inner = _type_text(found), getattr(found, "JWT_LP", None)
    if isinstance(found, Mapping):
        values = cast("Mapping[str, object]", found)
        inner = values.get("JWT_LP", values)
    if isinstance(inner, Settings | Mapping):
        return cast("Mapping[str, object]", inner)
    raise Failure(f"{target}: it is {what}, not a mapping of settings")


def relaxed_settings(found: Settings) -> list[str]:
    """What makes this service laxer than it will be, for all to see."""
    said: list[str] = []
    if found.observe_until is not None:
        until = found.observe_until.isoformat()
        over = found.observe_until < datetime.now(UTC).date()
        said.append(
            f"OBSERVE_UNTIL = {until} is over: requirements are enforced, remove the setting"
            if over
            else f"OBSERVE_UNTIL = {until}: requirements are observed, NOT enforced, until then"
        )
    if found.development:
        said.append("JWT_LP_DEV=1: tokens of the development key are accepted from this machine")
    return said


app_option: Final = click.option("--app", "target", metavar="MODULE:APP", help="The application whose guard is asked.")
settings_option: Final = click.option(
    "--settings",
    "where",
    metavar="WHERE",
    help="MODULE:NAME, MODULE (its JWT_LP), a FILE.toml, or env. Default: DJANGO_SETTINGS_MODULE, else env.",
)
named_settings_option: Final = click.option(
    "--settings", "where", metavar="WHERE", help="MODULE:NAME, MODULE (its JWT_LP), a FILE.toml, or env. Default: none."
)
