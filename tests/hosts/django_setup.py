"""One Django configuration for the whole test process; tests change settings with `override_settings`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from jwt_lp.testing.authority import Authority

CSRF = "django.middleware.csrf.CsrfViewMiddleware"
GUARD = "jwt_lp_django.middleware.LeastPrivilegeMiddleware"
AUTHORITY = Authority()
REST = ["rest_framework"] if find_spec("rest_framework") else []
SPECTACULAR = ["drf_spectacular"] if REST and find_spec("drf_spectacular") else []


class EmptyURLConf:
    urlpatterns: tuple[Any, ...] = ()


def configure() -> None:
    """Configure Django and set it up, once."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="for tests only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=EmptyURLConf,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.admin",
            *REST,
            *SPECTACULAR,
            "jwt_lp_django",
        ],
        MIDDLEWARE=[GUARD],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        STATIC_URL="/static/",
        USE_TZ=True,
        JWT_LP=AUTHORITY.settings(),
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["jwt_lp_django.drf.JWTAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["jwt_lp_django.drf.HasPermissions"],
            **({"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"} if SPECTACULAR else {}),
        },
    )
    django.setup()
    # Django's own log lines about 4xx responses would hide those of jwt-lp.
    logging.getLogger("django.request").setLevel(logging.CRITICAL)


def make_class(*bases: Any, **attributes: Any) -> Any:
    """A new class with these bases and attributes, for one case of a table."""
    return type(bases[0].__name__, bases, attributes)


def urlconf(*patterns: Any, **more: Any) -> type:
    """A URLconf of these patterns; Django accepts any object that has them."""
    return type("URLs", (), {"urlpatterns": list(patterns), **more})


@contextmanager
def project(*patterns: Any, lp: Any = None, middleware: Any = None, **more: Any) -> Iterator[None]:
    """A project of these patterns, with the guard first and then `middleware`."""
    configure()
    middleware = [*([CSRF] if (lp or {}).get("COOKIE") else []), *(middleware or [])]
    changed = {"ROOT_URLCONF": urlconf(*patterns), "MIDDLEWARE": [GUARD, *middleware], **more}
    with override_settings(**changed, **({} if lp is None else {"JWT_LP": lp})):
        yield


@contextmanager
def served(kind: str, *patterns: Any, lp: Mapping[str, object], **more: Any) -> Iterator[tuple[str, Any]]:
    """The same project as an application that a server can run."""
    with project(*patterns, lp=lp, **more):
        yield kind, WSGIHandler() if kind == "wsgi" else ASGIHandler()
