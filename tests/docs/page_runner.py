"""A page of the docs, run from top to bottom in one namespace and one folder.

- a `python` or `toml` block with a title is written to the file of that name;
- any other `python` block is executed, a `pycon` block is run and compared by doctest;
- a function `test_…` that a block defines is then called as pytest calls it, with `lp` (the fixture) and `client` (the
  host's test client), for the application that the page made last; in the README, which shows all hosts, for each
  application that it made;
- if a block sets `JWT_LP` or `settings`, its value must be a settings mapping without a fault;
- a `console` block with output is run by a shell and compared line by line; `# exit N` after a command is its exit
  code, otherwise 0; in a block without output the commands and their options must exist;
- in a `yaml` block, a workflow, the commands after `run:` and their options must exist;
- the requests of a table "request | token holds | answer" are sent to the application that the page made last: `app` or
  `urlpatterns`, whichever was set last;
- a table "written | fault" has code whose evaluation raises that `ConfigurationError`;
- a table "setting | fault" has settings that are faulty when they are added to `JWT_LP`;
- a table "in the file | fault" has faulty lines of a policy file;
- a table "in the token | confers" adds claims to a user's token of the issuer in `JWT_LP`, and lists the permissions
  that the token then holds; "in the token | cause | what the log says" shows how such a token is refused;
- a table "a grant of | covers | does not cover" is compared with `Permissions`.

`supplied` returns the names that a page may use without defining them. The folder has the policy file of the examples,
unless the page writes another.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from docs.commands import check_command, run_block
from docs.pages import ROOT, Block, MarkdownTable, Namespace, code, codes
from docs.table_checks import CHECKS, read
from hosts import django_setup
from jwt_lp.testing.authority import Authority, LeastPrivilegeTesting

AUTHORITY = Authority()
_SETTINGS = ("JWT_LP", "settings")

REQUESTS = ("request", "token holds", "answer")


def supplied() -> Namespace:
    """The names that a page may use without defining them."""
    django_setup.configure()
    from rest_framework.viewsets import ModelViewSet

    return {
        # settings that accept what the fixture's authority signs
        "JWT_LP": AUTHORITY.settings(),
        # what a Django project's settings have already
        "INSTALLED_APPS": ["django.contrib.auth"],
        "MIDDLEWARE": ["django.middleware.common.CommonMiddleware"],
        # what a REST framework project has imported already
        "ModelViewSet": ModelViewSet,
    }


@dataclass
class PageRunner:
    """The state of a page: its namespace, and the applications that it has made."""

    page: str
    folder: Path
    names: Namespace = field(default_factory=supplied)
    apps: list[Any] = field(default_factory=list)
    django: bool = False

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Make the page a module, and its folder the current one."""
        module = ModuleType("page")
        module.__dict__.update(self.names, __file__=str(self.folder / "page.py"))
        self.names = module.__dict__
        shutil.copy(ROOT / "examples" / "least-privilege.toml", self.folder)
        before, path = Path.cwd(), list(sys.path)
        sys.modules["page"] = module
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        try:
            yield
        finally:
            os.chdir(before)
            sys.path[:] = path
            files = {name: str(getattr(each, "__file__", "")) for name, each in sys.modules.items()}
            for name in ("page", *(name for name, file in files.items() if file.startswith(str(self.folder)))):
                sys.modules.pop(name, None)

    def take(self, piece: Block | MarkdownTable) -> None:
        """Run or check one piece of the page."""
        if isinstance(piece, MarkdownTable):
            if piece.heading == REQUESTS:
                self._requests(piece)
            elif piece.heading in CHECKS:
                CHECKS[piece.heading](piece, self.names)
            else:
                # A table with a misspelt heading must not remain unchecked.
                known = {heading[0] for heading in (REQUESTS, *CHECKS)}
                assert piece.heading[0] not in known, f"{self._at(piece)}: no check for {piece.heading}"
        elif piece.title:
            self._write(piece)
        else:
            readers: dict[str, Callable[[Block], object]] = {
                "python": self._run,
                "pycon": self._doctest,
                "toml": lambda block: tomllib.loads(block.text),
                "console": lambda block: run_block(block.text, self._at(block)),
                "yaml": self._workflow,
                "text": lambda _: None,
            }
            assert piece.language in readers, (
                f"{self._at(piece)}: a block in no language that is checked: {piece.language!r}"
            )
            readers[piece.language](piece)

    def _at(self, piece: Block | MarkdownTable) -> str:
        return f"{self.page}:{piece.line}"

    def _write(self, block: Block) -> None:
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        target = self.folder / block.title
        target.parent.mkdir(parents=True, exist_ok=True)
        for above in target.relative_to(self.folder).parents[:-1]:
            (self.folder / above / "__init__.py").touch()
        target.write_text(block.text, encoding="utf-8")

    def _run(self, block: Block) -> None:
        # Blank lines before it, so that a traceback names the page's own line.
        program = compile("\n" * block.line + block.text, self.page, "exec")
        before = {name: self.names.get(name) for name in ("app", "urlpatterns", *_SETTINGS)}
        tests = {name for name in self.names if name.startswith("test_")}
        exec(program, self.names)
        self._see(before)
        for name in [name for name in self.names if name.startswith("test_") and name not in tests]:
            self._test(self.names[name])

    def _see(self, before: Namespace) -> None:
        for name in _SETTINGS:
            if self.names.get(name) is not before[name]:
                read(self.names[name])
        if self.names.get("app") is not before["app"]:
            self.django = False
            self.apps.append(self.names["app"])
        elif self.names.get("urlpatterns") is not before["urlpatterns"]:
            self.django = True

    def _test(self, test: Callable[..., None]) -> None:
        wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
        last = self.names.get("app")
        apps = self.apps if self.page == "README.md" else self.apps[-1:]
        for app in [None] if self.django else apps:
            self.names["app"] = app
            with self.asked(app) as (lp, client):
                test(**{name: {"lp": lp, "client": client}[name] for name in wanted})
        self.names["app"] = last

    @contextlib.contextmanager
    def asked(self, app: Any) -> Iterator[tuple[LeastPrivilegeTesting, Any]]:
        """The fixture `lp` and a test client for an application, or for the page's `urlpatterns`."""
        lp = LeastPrivilegeTesting()
        with contextlib.ExitStack() as stack:
            if app is None:
                settings = {name: self.names[name] for name in ("REST_FRAMEWORK",) if name in self.names}
                others = [each for each in self.names["MIDDLEWARE"] if each != django_setup.GUARD]
                patterns, jwt_lp = self.names["urlpatterns"], self.names["JWT_LP"]
                stack.enter_context(django_setup.project(*patterns, lp=jwt_lp, middleware=others, **settings))
            stack.callback(lp.close)
            yield lp, client_of(app)

    def _requests(self, table: MarkdownTable) -> None:
        with self.asked(None if self.django else self.names["app"]) as (lp, client):
            lp.install(*() if self.django else (self.names["app"],))
            for request, held, answer in table.rows:
                method, _, path = code(request).partition(" ")
                who = held.rpartition(" as ")[2] if " as " in held else "alice"
                headers = {} if held == "nothing sent" else lp.headers(who, codes(held))
                found = send(client, method, path, headers)
                expected = int(re.match(r"\d+", answer)[0])  # type: ignore[index]
                assert expected == found, f"{self._at(table)}: {code(request)} with {held}"

    def _workflow(self, piece: Block) -> None:
        """Check the commands of a workflow's steps."""
        for command in re.findall(r"\brun: (.+)", piece.text):
            check_command(command, self._at(piece))

    def _doctest(self, block: Block) -> None:
        parsed = doctest.DocTestParser().get_doctest(block.text, self.names, self.page, self.page, block.line)
        parsed.globs = self.names
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(parsed, out=said.append, clear_globs=False)
        assert [] == said, "".join(said)


def client_of(app: Any) -> Any:
    """The host's own test client."""
    if app is None:
        from django.test import Client

        return Client()
    if hasattr(app, "test_client"):
        return app.test_client()
    from starlette.testclient import TestClient

    return TestClient(app)


def send(client: Any, method: str, path: str, headers: Mapping[str, str]) -> int:
    """Send a request and give its status; for a websocket 101, or the handshake's refusal."""
    if method == "WEBSOCKET":
        from starlette.testclient import WebSocketDenialResponse

        try:
            with client.websocket_connect(path, headers=dict(headers)):
                return 101
        except WebSocketDenialResponse as denial:
            return int(denial.status_code)
    if hasattr(client, "generic"):
        return int(client.generic(method, path, headers=dict(headers)).status_code)
    if hasattr(client, "open"):
        return int(client.open(path, method=method, headers=dict(headers)).status_code)
    return int(client.request(method, path, headers=dict(headers), follow_redirects=False).status_code)
