"""A Django project with django-allauth's headless API, whose tokens come from the recipe in docs/signing-in.md.

Run in a folder with `tokens.py` from that page: `python -m peers.allauth_project`. Prints what a client gets.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import django
from django.conf import settings

from jwt_lp import Issuer, SignIn, SigningKey
from jwt_lp.stores import open_store

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "allauth",
        "allauth.account",
        "allauth.headless",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ACCOUNT_EMAIL_VERIFICATION="none",
    HEADLESS_ONLY=True,
    HEADLESS_FRONTEND_URLS={},
    HEADLESS_TOKEN_STRATEGY="tokens.SessionTokens",
    USE_TZ=True,
)
django.setup()

from django.urls import include, path  # noqa: E402 - after the settings

urlpatterns = [path("_allauth/", include("allauth.headless.urls"))]


def main() -> None:
    """Sign in with a password at allauth, and print the answer and what refreshing gives."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client

    issuer = Issuer("https://id.test/", SigningKey.generate(), audience="shop", client="app")
    project = ModuleType("shop.sign_in")
    project.sign_in = SignIn(issuer, open_store("sqlite:///sign-in.db"))  # type: ignore[attr-defined]  # made here
    sys.modules.update({"shop": ModuleType("shop"), "shop.sign_in": project})
    call_command("migrate", verbosity=0)
    model: Any = get_user_model()
    user = model.objects.create_user("alice", password="correct horse")
    sign_in = {"username": "alice", "password": "correct horse"}
    answer = Client().post("/_allauth/app/v1/auth/login", sign_in, "application/json")
    meta = answer.json()["meta"]
    # The recipe's own module, which this test has written; there is another of that name here.
    strategy = import_module("tokens").SessionTokens()
    access_token, refresh_token = strategy.refresh_token(meta["refresh_token"])
    result = {
        "status": answer.status_code,
        "meta": sorted(meta),
        "subject": issuer.verify(meta["access_token"]).subject == str(user.pk),
        "refreshed": issuer.verify(access_token).subject == str(user.pk) and bool(refresh_token),
        "bad": strategy.refresh_token("no token"),
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
