"""Rewrites a project: each file by the rewriters of the libraries that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import libcst as cst
from libcst.codemod import CodemodContext

from jwt_lp.cli.migration.auth0 import WORDS as AUTH0_WORDS
from jwt_lp.cli.migration.auth0 import Auth0
from jwt_lp.cli.migration.bearer_readers import SCHEMES
from jwt_lp.cli.migration.fastapi_bearer import FastApiBearer
from jwt_lp.cli.migration.flask_jwt_extended import WORDS as FLASK_WORDS
from jwt_lp.cli.migration.flask_jwt_extended import FlaskJwtExtended
from jwt_lp.cli.migration.rewriter import Decision, Project
from jwt_lp.cli.migration.sources import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.cli.migration.rewriter import Rewriter
    from jwt_lp.cli.migration.sources import Source

# A rewriter sees a file if the project uses its library: if one of the words is in some file.
_REWRITERS: Final[Sequence[tuple[type[Rewriter], tuple[str, ...]]]] = ((FlaskJwtExtended, FLASK_WORDS), (Auth0, AUTH0_WORDS), (FastApiBearer, SCHEMES))


class Migration(NamedTuple):
    """What changes in one file, and what a person must decide there."""

    source: Source
    data: bytes
    decisions: Sequence[Decision]


def migrate(sources: Iterable[Source]) -> tuple[list[Migration], list[Unread]]:
    """The changes and decisions of every file that has any, and the files that cannot be parsed."""
    migrations: list[Migration] = []
    unread: list[Unread] = []
    files = list(sources)
    project = Project([source.data.decode("utf-8", "replace") for source in files])
    used = [rewriter for rewriter, words in _REWRITERS if any(project.mentions(word) for word in words)]
    for source in files if used else ():
        try:
            migration = _migrate(source, used, project)
        except (cst.ParserSyntaxError, UnicodeDecodeError, LookupError, RecursionError) as error:
            unread.append(Unread(source.name, f"it cannot be parsed{_line_of(error)}"))
        else:
            if migration.data != source.data or migration.decisions:
                migrations.append(migration)
    return migrations, unread


def _migrate(source: Source, rewriters: Iterable[type[Rewriter]], project: Project) -> Migration:
    tree = cst.parse_module(source.data)
    decisions: list[Decision] = []
    for rewriter_class in rewriters:
        rewriter = rewriter_class(CodemodContext(filename=source.name), project)
        tree = rewriter.rewrite(tree)
        decisions += rewriter.decisions
    return Migration(source, tree.bytes, sorted(set(decisions)))


def _line_of(error: Exception) -> str:
    return f": line {error.raw_line}" if isinstance(error, cst.ParserSyntaxError) else ""
