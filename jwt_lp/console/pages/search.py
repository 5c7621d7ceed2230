"""Search: subjects, clients, roles and permissions by a part of their name."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from jwt_lp.console.answers import page
from jwt_lp.console.navigation import READ
from jwt_lp.console.parameters import text_parameter
from jwt_lp.console.state import console_of
from jwt_lp.stores.lookups import FoundName, NameKind
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.console.state import ConsoleState

_KINDS: Final[tuple[NameKind, ...]] = get_args(NameKind)
_MOST: Final = 50
_MOST_OF_ALL: Final = 15


class FoundKind(NamedTuple):
    """The names of one kind that were found; `more` says that there are others."""

    kind: NameKind
    names: tuple[FoundName, ...]
    more: bool


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/search", search, name="search")]


@requires(READ)
async def search(request: Request) -> Response:
    """Show a search box, and what was found."""
    text = text_parameter(request, "q").strip()
    wanted = text_parameter(request, "kind")
    kinds: tuple[NameKind, ...] = tuple(kind for kind in _KINDS if wanted in ("", kind))
    found: tuple[FoundKind, ...] = ()
    if text and kinds:
        found = await run_in_threadpool(lambda: tuple(_find(console_of(request), kinds, text)))
    return page(request, "search.html", {"text": text, "kind": wanted, "kinds": _KINDS, "found": found})


def _find(console: ConsoleState, kinds: tuple[NameKind, ...], text: str) -> Iterator[FoundKind]:
    most = _MOST if len(kinds) == 1 else _MOST_OF_ALL
    for kind in kinds:
        more = {"subject": _people, "role": _roles, "permission": _catalogue}.get(kind)
        stored = console.store.find_names(kind, text, limit=most + 1)
        names = tuple(dict.fromkeys((*stored, *(islice(more(console, text), most + 1) if more is not None else ()))))
        if names:
            yield FoundKind(kind, names[:most], len(names) > most)


def _people(console: ConsoleState, text: str) -> Iterator[FoundName]:
    """The subjects whose person has such a name in the list of people, as far as the store knows them."""
    wanted = text.casefold()
    matching = (subject for subject, person in console.people.items() if wanted in person.name.casefold())
    for subject in islice(matching, _MOST_OF_ALL):
        found = console.store.find_names("subject", subject, limit=_MOST_OF_ALL)
        yield from (each for each in found if each.name == subject)


def _roles(console: ConsoleState, text: str) -> Iterator[FoundName]:
    """The roles that the policy defines, whether anybody holds them or not."""
    wanted = text.casefold()
    return (FoundName("", name) for name in console.policy.roles if wanted in name.casefold())


def _catalogue(console: ConsoleState, text: str) -> Iterator[FoundName]:
    wanted = text.casefold()
    return (FoundName("", name) for name in console.policy.catalogue if wanted in name.casefold())
