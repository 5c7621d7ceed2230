"""Static files of the console: styles and scripts, read once and kept in memory."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from jwt_lp_starlette import public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"


def routes() -> list[Route]:
    """The route of the static files."""
    return [Route("/static/{file}", static, name="static")]


@public
async def static(request: Request) -> Response:
    """Send one of the files; a browser keeps it as long as its address names this content."""
    name = request.path_params["file"]
    content = _files().get(name)
    if content is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    kept = request.query_params.get("v") == static_version(name)
    headers = {"Cache-Control": _FOREVER if kept else "no-cache"}
    return Response(content, media_type=_TYPES[PurePath(name).suffix], headers=headers)


@cache
def static_version(name: str) -> str:
    """A text that changes with the content of a file."""
    return sha256(_files()[name]).hexdigest()[:16]


@cache
def _files() -> Mapping[str, bytes]:
    folder = files("jwt_lp.console").joinpath("static")
    return {each.name: each.read_bytes() for each in folder.iterdir() if PurePath(each.name).suffix in _TYPES}
