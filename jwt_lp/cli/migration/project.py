"""Rewrites a project: each file by the rewriters of the libraries that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.metadata import MetadataWrapper

from jwt_lp.cli.migration.auth0 import Auth0
from jwt_lp.cli.migration.bearer_readers import SCHEMES
from jwt_lp.cli.migration.django_settings import DjangoSettings
from jwt_lp.cli.migration.django_views import DjangoViews
from jwt_lp.cli.migration.fastapi_bearer import FastApiBearer
from jwt_lp.cli.migration.flask_jwt_extended import FlaskJwtExtended
from jwt_lp.cli.migration.rewriter import Decision, Project
from jwt_lp.cli.migration.sources import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.cli.migration.rewriter import Rewriter
    from jwt_lp.cli.migration.sources import Source

_DJANGO: Final = ("rest_framework_simplejwt", "oauth2_provider")


class _Library(NamedTuple):
    """A rewriter; the words of which one is in some file of a project that needs it; and those in a file that it reads."""

    rewriter: type[Rewriter]
    project: tuple[str, ...]
    file: tuple[str, ...]


_FASTAPI: Final = ("Depends", "Security", "FastAPI")
_LIBRARIES: Final[Sequence[_Library]] = (
    _Library(FlaskJwtExtended, ("flask_jwt_extended",), ("flask_jwt_extended", "init_app", "_loader")),
    _Library(Auth0, ("fastapi_plugin",), ("fastapi_plugin", "require_auth", *_FASTAPI)),
    _Library(FastApiBearer, SCHEMES, ("decode", *_FASTAPI)),
    _Library(
        DjangoSettings, _DJANGO, ("INSTALLED_APPS", "MIDDLEWARE", "SIMPLE_JWT", "OAUTH2_PROVIDER", "REST_FRAMEWORK")
    ),
    _Library(DjangoViews, _DJANGO, ("rest_framework", "oauth2_provider")),
)
REWRITERS: Final = tuple(library.rewriter for library in _LIBRARIES)
_GUARDS: Final = (
    (b"jwt_lp_flask", b"LeastPrivilege("),
    (b"jwt_lp_starlette", b"LeastPrivilege("),
    (b"jwt_lp_django", b"LeastPrivilegeMiddleware"),
)
_OBSERVING: Final = "the patch removes checks that the guard would only observe: remove OBSERVE_UNTIL with it"


class Migration(NamedTuple):
    """What changes in one file, and what a person must decide there."""

    source: Source
    data: bytes
    decisions: Sequence[Decision]


def migrate(sources: Iterable[Source]) -> tuple[list[Migration], list[Unread]]:
    """The changes and decisions of every file that has any, and the files that could not be parsed.

    A file is parsed only if the project uses a library, and the file something that its rewriter may change.
    """
    migrations: list[Migration] = []
    unread: list[Unread] = []
    files = list(sources)
    project = Project([source.data.decode("utf-8", "replace") for source in files])
    used = [library for library in _LIBRARIES if any(map(project.mentions, library.project))]
    for source, text in zip(files, project.texts, strict=True):
        rewriters = [library.rewriter for library in used if any(word in text for word in library.file)]
        if not rewriters:
            continue
        try:
            migration = rewrite(source, rewriters, project)
        except Exception as error:  # noqa: BLE001 - one file that cannot be read must not lose the others
            unread.append(Unread(source.name, f"left as it is: {_describe(error)}"))
        else:
            if migration.data != source.data or migration.decisions:
                migrations.append(migration)
    return _with_missing_guard(_with_observing(migrations, files), files), unread


def rewrite(source: Source, rewriters: Iterable[type[Rewriter]], project: Project) -> Migration:
    """One file, rewritten by each of the rewriters. `libcst.ParserSyntaxError` if it cannot be parsed."""
    original = wrapper = MetadataWrapper(cst.parse_module(source.data), unsafe_skip_copy=True)
    decisions: set[Decision] = set()
    for rewriter_class in rewriters:
        rewriter = rewriter_class(CodemodContext(filename=source.name), project)
        changed = rewriter.rewrite(wrapper)
        if wrapper is not original:
            # The lines of decisions are those of the file as it is.
            rewriter = rewriter_class(CodemodContext(filename=source.name), project)
            rewriter.rewrite(original)
        decisions.update(rewriter.decisions)
        if changed is not wrapper.module:
            wrapper = MetadataWrapper(changed, unsafe_skip_copy=True)
    data = source.data if wrapper is original else wrapper.module.bytes
    return Migration(source, data, sorted(decisions))


def _with_observing(migrations: list[Migration], files: Iterable[Source]) -> list[Migration]:
    """The migrations, with a decision for each line that sets observe mode, if a check is removed."""
    if all(migration.data == migration.source.data for migration in migrations):
        return migrations
    known = {migration.source.name: migration for migration in migrations}
    for source in files:
        for number, line in enumerate(source.data.splitlines(), 1):
            if b"OBSERVE_UNTIL" in line:
                migration = known.get(source.name, Migration(source, source.data, ()))
                decisions = sorted({*migration.decisions, Decision(number, _OBSERVING)})
                known[source.name] = migration._replace(decisions=decisions)
    return [known[name] for name in sorted(known)]


def _with_missing_guard(migrations: list[Migration], files: Iterable[Source]) -> list[Migration]:
    """The migrations, with a decision if views are declared and no application has the guard."""
    changed = [migration for migration in migrations if migration.data != migration.source.data]
    whole = b"".join([*(source.data for source in files), *(migration.data for migration in changed)])
    said = any("LeastPrivilege(" in each.text for migration in migrations for each in migration.decisions)
    for adapter, guard in _GUARDS:
        if guard in whole or (said and adapter != b"jwt_lp_django"):
            continue
        for index, migration in enumerate(migrations):
            if migration in changed and adapter in migration.data:
                name = guard.decode().rstrip("(")
                text = f"no application was found: give it the guard ({name}), which refuses the rest"
                decisions = [Decision(1, text), *migration.decisions]
                return [*migrations[:index], migration._replace(decisions=decisions), *migrations[index + 1 :]]
    return migrations


def _describe(error: Exception) -> str:
    if isinstance(error, cst.ParserSyntaxError):
        return f"it cannot be parsed, line {error.raw_line}"
    return f"it cannot be parsed ({type(error).__name__})"
