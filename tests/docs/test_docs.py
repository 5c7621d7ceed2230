"""Tests of the README and docs/: all code runs as shown, and every name and link exists."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from docs.commands import check_command
from docs.page_runner import PageRunner
from docs.pages import PAGES, ROOT, Block, anchors, codes, pieces, prose
from jwt_lp.cli import run
from jwt_lp.guard.cookie_settings import COOKIE_KEYS
from jwt_lp.guard.introspection_settings import INTROSPECTION_KEYS
from jwt_lp.guard.issuer_reader import ISSUER_KEYS
from jwt_lp.guard.settings_reader import TOP_KEYS
from jwt_lp.tokens.custom_profile import _READERS

pytestmark = pytest.mark.docs

# Words in capitals that are not settings of jwt-lp.
_CAPITALS = {
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET", "METHOD", "JOB"),
    *("DEBUG", "INFO", "WARNING", "ERROR", "WWW", "MODULE", "NO_COLOR", "COLUMNS", "AUTHENTICATED"),
    # of REST framework, simplejwt and Flask-JWT-Extended
    *("SIGNING_KEY", "SECRET_KEY", "SIMPLE_JWT", "USER_ID_CLAIM"),
    *("DEFAULT_AUTHENTICATION_CLASSES", "DEFAULT_PERMISSION_CLASSES"),
    *("JWT_SECRET_KEY", "JWT_ENCODE_ISSUER", "JWT_ENCODE_AUDIENCE", "JWT_IDENTITY_CLAIM"),
    # of django-oauth-toolkit
    *("OAUTH2_PROVIDER", "ACCESS_TOKEN_GENERATOR"),
    *("PGPASSWORD", "MIDDLEWARE", "INSTALLED_APPS", "ROOT_URLCONF", "REST_FRAMEWORK", "DJANGO_SETTINGS_MODULE"),
    *("LOGGING", "ASGI_APPLICATION"),
    *(
        "ATOMIC_REQUESTS",
        "AUTHENTICATION_BACKENDS",
        "CSRF_TRUSTED_ORIGINS",
        "REMOTE_ADDR",
        "SECURE_PROXY_SSL_HEADER",
        "TRACE",
    ),
    *("ALLOWED_HOSTS", "USE_X_FORWARDED_HOST", "FORCE_SCRIPT_NAME"),
}
_PROFILE_KEYS = {*_READERS, "BASE", "PERMISSIONS", "ROLES", "CEILING"}


@pytest.fixture(autouse=True)
def _usual_log() -> None:
    """Each page begins with the log as Python sets it up, whatever an earlier page's server did to it."""
    logging.disable(logging.NOTSET)
    log = logging.getLogger("jwt_lp")
    log.disabled = False
    log.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is sent to the example addresses of a page."""
    real = socket.getaddrinfo

    def loopback_only(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in {"127.0.0.1", "localhost", "testserver"}:
            raise socket.gaierror("examples reach nobody")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", loopback_only)
    monkeypatch.delenv("JWT_LP_DEV", raising=False)
    monkeypatch.setattr(logging.getLogger("jwt_lp"), "disabled", True)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A page may configure logging."""
    loggers = [logging.getLogger(name) for name in ("jwt_lp", "jwt_lp.audit")]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    """Code runs, the shown output is the real one, and applications answer as the tables say."""
    walk = PageRunner(page, tmp_path)
    with walk.begun():
        for piece in pieces(page):
            walk.take(piece)


@pytest.mark.parametrize("page", PAGES)
def test_links_have_a_target(page: str) -> None:
    """A link within the project leads to a file, and to a heading in it where it names one."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, heading = target.partition("#")
        if path.startswith(("https://", "mailto:")):
            continue
        file = os.path.normpath(Path(page).parent / path) if path else page
        if not (ROOT / file).exists() or (heading and heading not in anchors(file)):
            broken.append(target)
    assert [] == broken


def test_every_record_is_in_the_index_of_decisions() -> None:
    """The index of decisions links every page of records."""
    index = "docs/decisions/README.md"
    records = [page for page in PAGES if page.startswith("docs/decisions/") and page != index]
    assert [] == [page for page in records if f"({Path(page).name}#" not in prose(index)]


def _resolves(dotted: str) -> bool:
    parts = dotted.split(".")
    for size in range(len(parts), 0, -1):
        try:
            value: Any = import_module(".".join(parts[:size]))
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_exist(page: str) -> None:
    """A dotted name in the text can be imported, or is the name of a logger, a check or an entry-point group."""
    names = {
        each for each in codes(prose(page)) if re.fullmatch(r"jwt_lp\w*(\.\w+)+", each) and not each.endswith(".py")
    }
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("jwt_lp*/**/*.py")]
    loggers = {found for source in sources for found in re.findall(r"getLogger\(\"([\w.]+)\"\)", source)}
    checks = {f"jwt_lp.{found}" for source in sources for found in re.findall(r"\"(?:jwt_lp\.)?([EW]\d{3})\"", source)}
    groups = set(re.findall(r'entry-points\."([\w.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    # Fields of the audit log, and attributes and metrics of OpenTelemetry.
    folder = ROOT / "jwt_lp" / "observability"
    fields = {
        f"jwt_lp.{found}" for found in re.findall(r'"(\w+)": ', (folder / "audit_log.py").read_text(encoding="utf-8"))
    }
    fields |= set(re.findall(r'"(jwt_lp\.[\w.]+)"', (folder / "telemetry.py").read_text(encoding="utf-8")))
    assert [] == sorted(each for each in names - loggers - checks - groups - fields if not _resolves(each))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_mentioned_exist(page: str) -> None:
    """A path in the text is in the project, or is a file that the page itself writes."""
    written = {piece.title for piece in pieces(page) if isinstance(piece, Block)}
    paths = {
        each
        for each in codes(prose(page))
        if re.fullmatch(r"(\.?[\w-]+/)+([\w.-]+\.\w+)?", each) and not each.startswith("application/")
    }
    real = {each for each in paths if each in written or (ROOT / each).exists()}
    # The tools create it.
    assert [] == sorted(paths - real - {".jwt-lp/"})


@pytest.mark.parametrize("page", PAGES)
def test_words_in_capitals_are_settings(page: str) -> None:
    """Every setting that a page names exists."""
    words = {found[0] for each in codes(prose(page)) if (found := re.match(r"[A-Z][A-Z_]{2,}(?![\w])", each))}
    known = {*TOP_KEYS, *ISSUER_KEYS, *_PROFILE_KEYS, *COOKIE_KEYS, *INTROSPECTION_KEYS, *_CAPITALS}
    assert [] == sorted(word for word in words if word not in known and not word.startswith("JWT_LP"))


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist(page: str) -> None:
    """Every command and option that the text names exists."""
    for each in codes(prose(page)):
        if re.match(r"(jwt-lp|make|flask|manage\.py) [a-z-]+", each) and "observed {" not in each:
            check_command(each, page)


def test_the_readme_leaves_no_route_undeclared(tmp_path: Path) -> None:
    """`jwt-lp routes` passes for each application of the README."""
    walk = PageRunner("README.md", tmp_path)
    with walk.begun():
        for piece in pieces("README.md"):
            walk.take(piece)
        assert [0, 0] == [run(["routes"], app) for app in walk.apps]


def test_the_readme_in_django(tmp_path: Path) -> None:
    """The view and the viewset of the README, in a URLconf, enforce their declarations."""
    walk = PageRunner("README.md", tmp_path)
    with walk.begun():
        for piece in pieces("README.md"):
            walk.take(piece)
        from django.urls import path
        from rest_framework.response import Response

        view, viewset = walk.names["order"], walk.names["Orders"]
        viewset.retrieve = lambda self, request, pk: Response({"order": pk})
        viewset.ship = lambda self, request, pk: Response({"shipped": pk})
        api = viewset.as_view({"get": "retrieve", "post": "ship"})
        walk.names["urlpatterns"] = [path("orders/<int:order_id>", view), path("api/<pk>", api)]
        with walk.asked(None) as (lp, client):
            lp.install()
            assert 401 == client.get("/orders/7").status_code
            assert 403 == client.get("/orders/7", headers=lp.headers(permissions=["orders:8:read"])).status_code
            # The request passes, but the view has no body, so Django raises.
            with pytest.raises(ValueError, match="didn't return an HttpResponse"):
                client.get("/orders/7", headers=lp.headers(permissions=["orders:7:read"]))
            assert 403 == client.get("/api/7", headers=lp.headers(permissions=["orders:read"])).status_code
            assert 200 == client.get("/api/7", headers=lp.headers(permissions=["orders:7:read"])).status_code
            assert 200 == client.post("/api/7", headers=lp.headers(permissions=["orders:admin"])).status_code
