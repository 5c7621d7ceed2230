"""The login manager that makes Flask-Login's `current_user` the local user of the request's token."""

from __future__ import annotations

from typing import Any, cast

from flask import request as current_request
from flask_login import LoginManager  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

from jwt_lp_flask.decisions import decisions_of
from jwt_lp_flask.local_user import local_user


class TokenLoginManager(LoginManager):  # type: ignore[misc]  # Flask-Login has no types
    """Flask-Login's `LoginManager`, for requests with a token and for those with a session.

    With a token, `current_user` is the local user of the token, and a session does not count; it is anonymous if the
    token has no user. Without a token it is the session's user, as usual. It needs the setting `LOCAL_USER`.
    """

    def _load_user(self) -> Any:
        # Not by a request loader: Flask-Login asks the session first, and it may be that of somebody else.
        if decisions_of(current_request).token is None:
            return cast(Any, super())._load_user()  # noqa: SLF001 - there is no public way
        return cast(Any, self)._update_request_context_with_user(local_user())  # noqa: SLF001 - there is no public way
