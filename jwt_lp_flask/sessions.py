"""Whether the session of Flask-Login stands in for a token."""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask

from jwt_lp import Call, cross_origin_fault


def session_fault(app: Flask, call: Call) -> str | None:
    """Why the session does not let the request pass; None if its user is signed in and active.

    Flask checks no CSRF token of its own, so an unsafe method needs a request of the same origin.
    """
    # The application has imported it, if it has a login manager.
    flask_login: Any = sys.modules.get("flask_login")
    if flask_login is None or getattr(app, "login_manager", None) is None:
        return "the application has no login manager of Flask-Login"
    user = flask_login.current_user
    if not user.is_authenticated:
        return "nobody is signed in"
    if not getattr(user, "is_active", True):
        return "the user is not active"
    return cross_origin_fault(call)
