"""Translation of database errors into the project's own, each with a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exc

from jwt_lp.errors import StoreError
from jwt_lp.stores.migration import tables_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.errors import JwtLpError

# A part of SQLite's message -> the remedy.
_SQLITE: Final[Mapping[str, str]] = {
    "disk is full": "make room on its disk",
    "disk i/o error": "check its disk: is it full, or gone?",
    "readonly": "it, and the folder that it is in, must be writable by the user that runs this",
    "unable to open": "its folder must exist, and both must be readable and writable by the user that runs this",
    "locked": "another process locked it for too long; SQLite is for a few processes on one machine",
    "not a database": "name another file, or move this one away",
    "malformed": "the file is damaged: restore a backup",
}
# The first characters of PostgreSQL's SQLSTATE, the longest first -> the remedy.
_POSTGRES: Final[Mapping[str, str]] = {
    "42501": "its user needs SELECT, INSERT, UPDATE and DELETE on the tables jwt_lp_*",
    "57014": "it took too long; is it busy, or does somebody hold a lock?",
    "25006": "this server is read-only; name the primary server",
    "3D000": "create the database first",
    "53": "the server lacks room, memory or connections",
    "28": "check user, password and the server's pg_hba.conf",
    "57": "the server is stopping or starting",
    "40": "other transactions changed the same rows; try again",
    "22": "it cannot store one of the values",
}
_UNREACHABLE: Final = "is it running, and are host, port and password in the URL right?"


def translate_error(error: exc.SQLAlchemyError | OSError, name: str, password: object) -> JwtLpError:
    """The project's error for the library's: what happened, in one line, and the remedy; no statement, no value."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    if isinstance(cause, OSError):
        return StoreError(f"{name}: {cause.strerror or type(cause).__name__}: {_SQLITE['unable to open']}")
    if isinstance(error, exc.TimeoutError):
        return StoreError(f"{name}: all of this process's connections are in use; close what is being read first")
    message = _first_line(cause, password)
    state = str(getattr(cause, "sqlstate", None) or "")
    if state == "42P01" or "no such table" in message:
        return tables_missing(name, "a table is missing")
    return StoreError(f"{name}: {message}: {_remedy(message, state)}")


def _first_line(cause: BaseException, password: object) -> str:
    """The first line of the message without the password; the other lines show values."""
    line = (str(cause).strip() or type(cause).__name__).splitlines()[0].strip().rstrip(":")
    return line.replace(str(password), "***") if password else line


def _remedy(message: str, state: str) -> str:
    if state:
        return next((help_ for start, help_ in _POSTGRES.items() if state.startswith(start)), f"SQLSTATE {state}")
    lowered = message.lower()
    return next((help_ for part, help_ in _SQLITE.items() if part in lowered), _UNREACHABLE)
