"""Applications for servers in other processes. Settings come from the environment, and every answer names the process."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import unquote

from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.stores import push

SETTINGS: dict[str, Any] = json.loads(os.environ["TESTS_JWT_LP"])
VIEWS = {"read": "orders:read", "list": "orders:list", "take": "stock:take"}

# Each test has its own channel, so that it can count the listeners.
push.CHANNEL = os.environ.get("TESTS_CHANNEL", push.CHANNEL)  # type: ignore[misc]
if os.environ.get("TESTS_PUSHED_ONLY"):
    # Without polling only a push can make a process learn of a change.
    _poll = RevocationPoller.poll
    RevocationPoller.poll = lambda self: _poll(self) + 3600  # type: ignore[method-assign]


def named_wsgi(app: Any) -> Any:
    """The application, each answer of which has the id of its process in a header, refusals too."""

    def application(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, ("X-Process", str(os.getpid()))], *rest)

        return app(environ, start)

    return application


def named_asgi(app: Any) -> Any:
    """The same for ASGI."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"x-process", str(os.getpid()).encode())]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, sent)

    return application


def flask_app() -> Any:
    from flask import Flask, jsonify

    from jwt_lp_flask import LeastPrivilege, guard_from, public, requires

    app = Flask("server_apps", static_folder=None)
    app.wsgi_app = named_wsgi(app.wsgi_app)  # type: ignore[method-assign]
    app.config["JWT_LP"] = SETTINGS
    LeastPrivilege(app)
    for name, permission in VIEWS.items():
        app.add_url_rule(f"/{name}", name, requires(permission)(lambda: jsonify({})))

    @app.get("/ready")
    @public
    def ready() -> Any:
        return jsonify(ready=guard_from().ready().ready)

    return app


def fastapi_app() -> Any:
    from fastapi import FastAPI

    from jwt_lp_starlette import LeastPrivilege, guard_from, public
    from jwt_lp_starlette.fastapi import Requires

    app = FastAPI(openapi_url=None)
    LeastPrivilege(app, SETTINGS)

    def nothing() -> dict[str, str]:
        return {}

    for name, permission in VIEWS.items():
        app.add_api_route(f"/{name}", nothing, dependencies=[Requires(permission)])

    @app.get("/ready")
    @public
    def ready() -> Any:
        return {"ready": guard_from(app).ready().ready}

    return named_asgi(app)


def _configure_django() -> None:
    from django.conf import settings
    from django.http import JsonResponse
    from django.urls import path

    from jwt_lp_django import guard_from, public, requires

    def ready(request: Any) -> Any:
        return JsonResponse({"ready": guard_from().ready().ready})

    views = [path(name, requires(permission)(lambda request: JsonResponse({}))) for name, permission in VIEWS.items()]
    urls = type("URLs", (), {"urlpatterns": [*views, path("ready", public(ready))]})
    settings.configure(
        SECRET_KEY="for tests only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "jwt_lp_django"],
        MIDDLEWARE=["jwt_lp_django.middleware.LeastPrivilegeMiddleware"],
        DATABASES={"default": _database(unquote(os.environ.get("TESTS_DATABASE", "")))},
        USE_TZ=True,
        JWT_LP=SETTINGS,
    )


def _database(url: str) -> dict[str, Any]:
    from stores.django_engines import settings_of

    if url.startswith("postgresql:"):
        return dict(settings_of(url))
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.removeprefix("sqlite:///") or ":memory:"}


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _configure_django()
    return named_wsgi(get_wsgi_application())


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _configure_django()
    return named_asgi(get_asgi_application())
