"""`jwt-lp migrate`: what it changes in the projects in examples/migrations, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libcst as cst
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import SHARE
from jwt_lp.cli.migration.patch import patch
from jwt_lp.cli.migration.project import REWRITERS, migrate, rewrite
from jwt_lp.cli.migration.rewriter import Project
from jwt_lp.cli.migration.sources import Source, read_sources, replace_source
from migrations.projects import LIBRARIES, PROJECTS, ROOT, copied

if TYPE_CHECKING:
    from collections.abc import Iterable


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def apply(folder: Path, patch_text: bytes) -> None:
    """Apply a patch as a person does."""
    done = subprocess.run(["git", "apply", "-"], cwd=folder, input=patch_text, capture_output=True, check=False)
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("name", list(LIBRARIES))
def test_the_patch_and_the_edits_by_hand_give_the_project_after(name: str, tmp_path: Path, cli: Any) -> None:
    """What is printed, applied with `git apply`, and then the edits of the guide, are the whole difference.

    `--write` gives the same files as the patch. A second run prints no patch and changes nothing.
    """
    patched, written = copied(name, "before", tmp_path / "a"), copied(name, "before", tmp_path / "b")
    code, out, _ = cli("migrate", str(patched))
    assert 1 == code
    apply(patched, out.encode())
    assert "" == cli("migrate", str(written), "--write")[1]
    assert contents(patched) == contents(written)
    assert "" == cli("migrate", str(patched))[1]
    apply(patched, (PROJECTS / name / "by-hand.patch").read_bytes())
    assert contents(PROJECTS / name / "after") == contents(patched)


@pytest.mark.parametrize("name", list(LIBRARIES))
def test_a_migrated_project_needs_no_change(name: str, cli: Any) -> None:
    """After the steps of the guide there is no patch, and nothing is left to decide."""
    assert (0, "") == cli("migrate", str(PROJECTS / name / "after"))[:2]


def test_the_guide_counts_the_edits_by_hand() -> None:
    """The docs say how many places a person edits: runs of changed lines in `by-hand.patch`."""
    stated: dict[str, int] = {}
    for line in (ROOT / "docs" / "migrating" / "index.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if cells[0] in LIBRARIES and cells[-1].isdecimal():
            stated[cells[0]] = int(cells[-1])
    counted = {name: edits((PROJECTS / name / "by-hand.patch").read_text(encoding="utf-8")) for name in LIBRARIES}
    assert counted == stated


def edits(text: str) -> int:
    changed = [line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"} for line in text.splitlines()]
    return sum(now and not before for before, now in zip([False, *changed], changed, strict=False))


def stdlib(count: int) -> Iterable[Path]:
    """Files of the standard library, small enough to be quick; always the same."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    fit = [path for path in files if path.stat().st_size < 12_000]
    return fit[:: max(1, len(fit) // count)][:count]


OWN = [*sorted(ROOT.glob("jwt_lp*/*.py")), *sorted(ROOT.glob("jwt_lp_*/**/*.py"))]
# words of every library, so that no file is passed over
EVERY_LIBRARY = Project(["flask_jwt_extended fastapi_plugin oauth2_scheme = OAuth2PasswordBearer() oauth2_provider"])


@pytest.mark.parametrize("path", [*stdlib(4), *OWN[:: max(1, len(OWN) // 3)]], ids=lambda path: path.name)
def test_other_code_is_left_alone(path: Path) -> None:
    """A file that uses none of the libraries stays as it is, byte for byte, and nothing is said about it."""
    source = Source(path, path.name, path.read_bytes())
    migration = rewrite(source, REWRITERS, EVERY_LIBRARY)
    assert (source.data, []) == (migration.data, migration.decisions)


SNIPPETS = {
    "flask": [
        "from flask_jwt_extended import jwt_required, get_jwt_identity, get_jwt, JWTManager",
        "import flask_jwt_extended as fje",
        "@jwt_required()\ndef a():\n    return get_jwt_identity()",
        "@app.get('/')\n@fje.jwt_required(optional=True)\nasync def b(x=1):  # note\n\treturn fje.get_jwt()['x']",
        "class V(View):\n  decorators = [jwt_required(), other]\n  def get(self): return get_jwt_identity()",
        "def create_app():\n    jwt = JWTManager(app)\n    return app",
        "@jwt_required(fresh=True)\ndef c(): pass",
        "@jwt_required(locations=['cookies'])\ndef d(): pass",
        "def helper():\n    return get_jwt()",
    ],
    "fastapi": [
        "from fastapi import FastAPI, APIRouter, Depends, Security\nfrom typing import Annotated",
        "from fastapi.security import OAuth2PasswordBearer\nimport jwt",
        "app = FastAPI()",
        "scheme = OAuth2PasswordBearer(tokenUrl='t')",
        "def user(t: str = Depends(scheme)): return jwt.decode(t, KEY, algorithms=['HS256'])",
        "def admin(u=Security(user, scopes=['admin'])): return u",
        "KEY = 'x' * 32",
        "router = APIRouter(dependencies=[Depends(user)])",
        "@app.get('/')\ndef a(u=Security(admin, scopes=['a', 'b'])): return u",
        "@router.post('/x', dependencies=[Depends(other), Security(user, scopes=['x'])],)\ndef b(): ...",
        "from fastapi_plugin import Auth0FastAPI\nauth0 = Auth0FastAPI(domain='d', audience='a')",
        "@app.get('/c')\nasync def c(claims: dict = Depends(auth0.require_auth(scopes='x'))):\n    return claims['sub'], claims",
        "User = Annotated[str, Security(user, scopes=['alias'])]",
        "@app.get('/e')\ndef e(u: User, *, other: 'x' = 1): return u",
        "def make():\n    inner = FastAPI()\n    @inner.get('/f')\n    def f(u=Depends(user)): return u\n    return inner",
        "@app.get('/d')\nasync def d(c: Annotated[dict, Depends(auth0.require_auth())]): return [c for c in c]",
    ],
    "django": [
        "from rest_framework.permissions import IsAuthenticated, AllowAny, IsAdminUser",
        "from rest_framework.decorators import permission_classes",
        "from oauth2_provider.contrib.rest_framework import TokenHasScope\nimport rest_framework_simplejwt",
        "from oauth2_provider.decorators import protected_resource",
        "from oauth2_provider.views.generic import ScopedProtectedResourceView, ProtectedResourceView",
        "class A(APIView):\n    permission_classes = [IsAuthenticated, Own]  # why\n    x = 1",
        "class B(APIView):\n    permission_classes = (TokenHasScope,)\n    required_scopes = ['a', 'b']",
        "class C(APIView):\n    required_scopes = ['a']\n    permission_classes = [TokenHasScope & Own]",
        "class D(ScopedProtectedResourceView, Other):\n    # scopes\n    required_scopes = ['a', 'b']\n    def get(self, r): pass",
        "class E(ProtectedResourceView):\n    def get(self, request): return request.resource_owner",
        "@permission_classes([IsAuthenticated | IsAdminUser])\ndef f(r): pass",
        "@protected_resource()\ndef g(request): pass",
        "INSTALLED_APPS = ['django.contrib.auth',\n    'rest_framework',  # api\n]",
        "MIDDLEWARE = (\n    # first\n    'django.middleware.common.CommonMiddleware', # common\n    'b'\n)",
        "SIMPLE_JWT = {'ALGORITHM': 'RS256'}",
        "SIMPLE_JWT = dict(ALGORITHM='HS256')",
        "SIMPLE_JWT = {'SIGNING_KEY': 'k', 'ISSUER': 'me'}",
        "OAUTH2_PROVIDER = {}",
        "REST_FRAMEWORK = {'DEFAULT_PERMISSION_CLASSES': ('rest_framework.permissions.IsAuthenticated',)}",
    ],
}


@pytest.mark.parametrize("host", list(SNIPPETS))
@settings(max_examples=int(30 * SHARE) + 3)
@given(data=st.data())
def test_any_module_is_rewritten_once_and_parses(host: str, data: st.DataObject) -> None:
    """Whatever a module has of the libraries, the result parses, and a second run changes nothing."""
    chosen = data.draw(st.lists(st.sampled_from(SNIPPETS[host]), min_size=1, max_size=8))
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = "\n\n".join(chosen).replace("\n", newline) + data.draw(st.sampled_from(["", newline]))
    source = Source(Path("m.py"), "m.py", text.encode())
    (migrations, unread), written = migrate([source]), source.data
    assert [] == unread
    for migration in migrations:
        written = migration.data
        compile(written, "m.py", "exec")
        assert cst.parse_module(written).bytes == written
    again, _ = migrate([source._replace(data=written)])
    assert [written] == [each.data for each in again] or not again


@given(before=st.binary(max_size=60), after=st.binary(max_size=60), line=st.sampled_from([b"a\n", b"b\r\n", b"c"]))
def test_a_patch_is_applied_to_the_byte(before: bytes, after: bytes, line: bytes) -> None:
    """Every line of a patch is of one of the two files, whatever bytes and line ends they have."""
    old, new = line * 3 + before, line * 2 + after
    lines = patch("x.py", old, new).split(b"\n")[2:]
    removed = b"\n".join(each[1:] for each in lines if each[:1] in {b"-", b" "})
    added = b"\n".join(each[1:] for each in lines if each[:1] in {b"+", b" "})
    assert removed in old + b"\n"
    assert added in new + b"\n"


def test_a_patch_without_a_newline_at_the_end(tmp_path: Path) -> None:
    """`git apply` accepts the patch of a file that does not end with a newline."""
    old, new = b"a\nb\r\nc", b"a\nB\r\nc\nd"
    (tmp_path / "x.py").write_bytes(old)
    apply(tmp_path, patch("x.py", old, new))
    assert new == (tmp_path / "x.py").read_bytes()


FLASK = b"from flask_jwt_extended import jwt_required\n\n@jwt_required()\ndef a(): pass\n"


def test_nothing_outside_the_project_is_read_or_written(tmp_path: Path, cli: Any) -> None:
    """Links that lead out are named and not followed; a link inside is read once, by the file's own path."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    for folder in (project / "inner", project / ".venv", outside):
        folder.mkdir(parents=True)
        (folder / "views.py").write_bytes(FLASK)
    (project / "env").mkdir()
    (project / "env" / "pyvenv.cfg").touch()
    (project / "env" / "installed.py").write_bytes(FLASK)
    (project / "link.py").symlink_to(outside / "views.py")
    (project / "linked").symlink_to(outside)
    (project / "same.py").symlink_to(project / "inner" / "views.py")
    (project / "gone.py").symlink_to(project / "nowhere.py")
    sources, unread = read_sources(project)
    assert ["inner/views.py"] == [source.name for source in sources]
    assert [("link.py", "a symbolic link to a file outside the project")] == [tuple(each) for each in unread]
    code, _, err = cli("migrate", str(project), "--write")
    assert (2, True) == (code, "link.py: a symbolic link" in err)
    assert FLASK == (outside / "views.py").read_bytes() == (project / ".venv" / "views.py").read_bytes()
    assert b"@authenticated" in (project / "inner" / "views.py").read_bytes()
    assert (project / "same.py").is_symlink()


def test_names_of_files_cannot_forge_a_patch(tmp_path: Path, cli: Any) -> None:
    """A name with a line end is passed over and shown escaped; one with a blank works."""
    (tmp_path / "a\n+++ b").mkdir()
    (tmp_path / "a\n+++ b" / "views.py").write_bytes(FLASK)
    (tmp_path / "my views.py").write_bytes(FLASK)
    code, out, err = cli("migrate", str(tmp_path))
    assert (2, 1, True) == (code, out.count("+++ "), "a\\n+++ b/views.py: its name has control characters" in err)
    apply(tmp_path, out.encode())
    assert b"@authenticated" in (tmp_path / "my views.py").read_bytes()


def test_a_file_that_cannot_be_parsed_is_named_and_kept(tmp_path: Path, cli: Any) -> None:
    """It stays as it is, the others are changed, and the exit code is 2."""
    (tmp_path / "good.py").write_bytes(FLASK)
    broken = {"broken.py": FLASK + b"def (:\n", "latin.py": b"# flask_jwt_extended \xe9\n", "null.py": FLASK + b"\0"}
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
    code, out, err = cli("migrate", str(tmp_path), "--write")
    assert (2, "") == (code, out)
    assert all(f"{name}: left as it is" in err for name in broken)
    assert broken == {name: (tmp_path / name).read_bytes() for name in broken}
    assert b"@authenticated" in (tmp_path / "good.py").read_bytes()


def test_a_file_keeps_its_mode_and_encoding(tmp_path: Path, cli: Any) -> None:
    """An executable stays one, and bytes of another encoding stay as they were."""
    path = tmp_path / "views.py"
    path.write_bytes(b"#!/usr/bin/env python\n# -*- coding: latin-1 -*-\n# \xe9\n" + FLASK)
    path.chmod(0o755)
    assert 0 == cli("migrate", str(path), "--write")[0]
    assert 0o755 == path.stat().st_mode & 0o777
    assert b"coding: latin-1 -*-\n# \xe9\n" in path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    """What somebody else wrote since the file was read is not lost, and no other file is left behind."""
    path = tmp_path / "views.py"
    path.write_bytes(b"newer\n")
    with pytest.raises(OSError, match="changed meanwhile"):
        replace_source(Source(path, "views.py", FLASK), b"ours\n")
    assert b"newer\n" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_observing_and_the_patch_do_not_go_together(tmp_path: Path, cli: Any) -> None:
    """Where OBSERVE_UNTIL is set, the guard would only observe what the patch takes from the library: it is said."""
    (tmp_path / "views.py").write_bytes(FLASK)
    (tmp_path / "settings.py").write_text('A = 1\nJWT_LP = {"OBSERVE_UNTIL": "2027-01-31"}\n', encoding="utf-8")
    _, _, err = cli("migrate", str(tmp_path))
    assert "settings.py:2: the patch removes checks" in err


@pytest.mark.parametrize(
    "text",
    [
        "from flask_jwt_extended import jwt_required\n@jwt_required()\ndef f(): pass\n",
        "from oauth2_provider.decorators import protected_resource\n@protected_resource()\ndef f(request): pass\n",
    ],
)
def test_a_project_whose_application_is_elsewhere(text: str, tmp_path: Path, cli: Any) -> None:
    """Views are declared, but no application was seen that gets the guard: it is said."""
    (tmp_path / "views.py").write_text(text, encoding="utf-8")
    assert "views.py:1: no application was found" in cli("migrate", str(tmp_path))[2]


def test_nothing_to_do(tmp_path: Path, cli: Any) -> None:
    """A project without the libraries: no output but a summary, and exit code 0."""
    (tmp_path / "views.py").write_text("x = 1\n", encoding="utf-8")
    assert (0, "", "0 files to change, 0 decisions left to you\n") == cli("migrate", str(tmp_path))


# what the tool must not decide -> a word of what it says
LEFT_TO_A_PERSON: dict[str, str] = {
    "from flask_jwt_extended import jwt_required\n@jwt_required\ndef f(): pass": "protects nothing",
    "from flask_jwt_extended import jwt_required\n@jwt_required(locations=['cookies'])\ndef f(): pass": "no counterpart",
    "from flask_jwt_extended import jwt_required\n@jwt_required(optional=maybe)\ndef f(): pass": "no counterpart",
    "from flask_jwt_extended import get_jwt_identity\ndef f(): return get_jwt_identity()": "outside a view",
    "from flask_jwt_extended import current_user\ndef f(): return current_user.id": "look the user up",
    "from flask_jwt_extended import verify_jwt_in_request\nverify_jwt_in_request()": "declare the views",
    "from flask_jwt_extended import JWTManager\n@manager.token_in_blocklist_loader\ndef f(h, p): ...": "jwt_required() stays",
    "from fastapi import Depends\nfrom fastapi_plugin import Auth0FastAPI\nauth0 = Auth0FastAPI(domains=D, audience='a')": "ISSUERS",
    "from fastapi import Depends\nfrom fastapi_plugin import Auth0FastAPI\nauth0 = Auth0FastAPI(domain='d', audience='a')\n"
    "def f(c=Depends(auth0.require_auth(scopes=SCOPES))): pass": "computed",
    "from fastapi import Depends\nfrom fastapi_plugin import Auth0FastAPI\nauth0 = Auth0FastAPI(domain='d', audience='a')\n"
    "def f(c=Depends(auth0.require_auth())):\n    c = 1": "bound again",
    "from fastapi import Security\nfrom fastapi.security import HTTPBearer\nb = HTTPBearer()\n"
    "@app.get('/')\ndef f(c=Security(b, scopes=SCOPES)): pass": "computed",
    "from fastapi import Depends\nfrom fastapi.security import HTTPBearer\nb = HTTPBearer(auto_error=False)\n"
    "@app.get('/')\ndef f(c=Depends(b)): pass": "optional",
    "from fastapi import FastAPI, Depends\nfrom fastapi.security import HTTPBearer\nb = HTTPBearer()\n"
    "app = FastAPI()": "write JWT_LP",
    "from fastapi import FastAPI\nfrom fastapi.security import HTTPBearer\nb = HTTPBearer()\n"
    "def make():\n    app = FastAPI()": "in this function",
    "from rest_framework_simplejwt.views import TokenObtainPairView\nclass Mine(TokenObtainPairView): pass": "external",
    "import oauth2_provider\nfrom rest_framework.permissions import AllowAny\nclass A:\n  permission_classes = [AllowAny]": "@public",
    "import oauth2_provider\nfrom rest_framework.permissions import *\nclass A:\n  permission_classes = [IsAuthenticated]": "",
    "from oauth2_provider.contrib.rest_framework import TokenHasScope\nclass A:\n  permission_classes = [TokenHasScope]": "name the permissions",
    "from oauth2_provider.contrib.rest_framework import TokenHasScope\nclass A:\n  permission_classes = [TokenHasScope]\n"
    "  required_scopes = SCOPES": "name the permissions",
    "from oauth2_provider.contrib.rest_framework import TokenHasReadWriteScope as T\nclass A:\n  permission_classes = [T]": "required_permissions",
    "from oauth2_provider.decorators import rw_protected_resource\n@rw_protected_resource()\ndef f(r): pass": "two @requires",
    "from oauth2_provider.decorators import protected_resource\n@protected_resource(scopes=S)\ndef f(r): pass": "by hand",
    "import oauth2_provider\ndef get_permissions(self): return [AllowAny()]": "by action",
    "import oauth2_provider\nOAUTH2_PROVIDER = {}": "opaque",
    "import rest_framework_simplejwt\nSIMPLE_JWT = {'ALGORITHM': 'RS256'}": "public key",
    "import rest_framework_simplejwt\nSIMPLE_JWT = load()": "public key",
    "import rest_framework_simplejwt\nREST_FRAMEWORK = {'DEFAULT_PERMISSION_CLASSES': []}": "a declaration each",
    "import rest_framework_simplejwt\nMIDDLEWARE = BASE + ['x']": "as the first",
}


@pytest.mark.parametrize(("text", "said"), LEFT_TO_A_PERSON.items())
def test_what_a_person_must_decide_is_left_and_listed(text: str, said: str) -> None:
    """No declaration is guessed: what has no exact counterpart stays as it is, with a line that says what to do."""
    migrations, unread = migrate([Source(Path("m.py"), "m.py", text.encode())])
    assert [] == unread
    lines = [decision.text for migration in migrations for decision in migration.decisions]
    assert any(said in line for line in lines) or not said
    data = migrations[0].data.decode() if migrations else text
    assert not any(word in data for word in ("@public", "@authenticated", "@requires", "Requires(", "HasPermissions"))


ALIAS = """
from typing import Annotated
from fastapi import Depends, FastAPI, Security
from fastapi.security import OAuth2PasswordBearer
scheme = OAuth2PasswordBearer(tokenUrl="token")
def user(token: Annotated[str, Depends(scheme)]): ...
def admin(user: Annotated[str, Security(user, scopes=["admin"])]): ...
Admin = Annotated[str, Security(admin, scopes=["more"])]
@app.get("/a")
def a(who: Admin): ...
@app.get("/b", dependencies=[Depends(admin)])
def b(): ...
@app.get("/c")
def c(who: Annotated[str, Security(admin, scopes=["c", "admin"])]): ...
"""


def test_scopes_of_all_dependencies_are_added_up() -> None:
    """A route declares the scopes of its dependency, of what that depends on, and of an alias of it."""
    ((migration,), _) = migrate([Source(Path("m.py"), "m.py", ALIAS.encode())])
    text = migration.data.decode()
    assert '@app.get("/a", dependencies=[Requires("more", "admin")])\ndef a(who: Admin)' in text
    assert '@app.get("/b", dependencies=[Requires("admin"), Depends(admin)])' in text
    assert '@app.get("/c", dependencies=[Requires("admin", "c")])\ndef c(who: Annotated[str, Depends(admin)])' in text
    assert 'def admin(user: Annotated[str, Security(user, scopes=["admin"])])' in text


# parts of a module -> the same parts afterwards, to the character
EXACT: list[tuple[str, dict[str, str]]] = [
    (
        (
            "from typing import Annotated\nfrom fastapi import Depends\nfrom fastapi_plugin import Auth0FastAPI\n"
            "auth0 = Auth0FastAPI(domain='d', audience='a')\n"
        ),
        {
            'def a(x: int, c: Annotated[dict, Depends(auth0.require_auth(["r"]))]): return c["sub"], f(c=c)': (
                'def a(x: int, c: Annotated[AccessToken, Requires("r")]): return c.subject, f(c=c.claims)'
            )
        },
    ),
    (
        (
            "from django.views.decorators.http import require_http_methods, require_POST\n"
            "from oauth2_provider.decorators import protected_resource\n"
            "from oauth2_provider.views.generic import ProtectedResourceView, ScopedProtectedResourceView\n"
        ),
        {
            '@require_http_methods(["GET", "PUT"])\n@protected_resource(scopes=["a"])\ndef f(r): pass': (
                '@require_http_methods(["GET", "PUT"])\n@requires("a", methods=("GET", "PUT"))\n'
                '@protected_resource(scopes=["a"])\ndef f(r): pass'
            ),
            "@protected_resource()\n@require_POST\ndef g(r): pass": (
                '@authenticated(methods=("POST",))\n@protected_resource()\n@require_POST\ndef g(r): pass'
            ),
            'class A(ScopedProtectedResourceView):\n    required_scopes = ["a", "b"]': (
                'class A(LeastPrivilegeMixin, ScopedProtectedResourceView):\n    required_permissions = all_of("a", "b")\n'
                '    required_scopes = ["a", "b"]'
            ),
            "class B(ProtectedResourceView):\n    x = 1": (
                "class B(LeastPrivilegeMixin, ProtectedResourceView):\n    required_permissions = AUTHENTICATED\n    x = 1"
            ),
        },
    ),
    (
        "import rest_framework_simplejwt\nfrom rest_framework import permissions\n",
        {
            "class A(APIView):\n    permission_classes = (permissions.IsAuthenticated & Own,)  # both": (
                "class A(APIView):\n    permission_classes = (HasPermissions.of(AUTHENTICATED) & Own,)  # both"
            ),
            'MIDDLEWARE = [\n    # first\n    "django.a",  # a\n    "b"\n]': (
                'MIDDLEWARE = [\n    # first\n    "jwt_lp_django.middleware.LeastPrivilegeMiddleware",\n'
                '    "django.a",  # a\n    "b"\n]'
            ),
            'INSTALLED_APPS = [\n    "django.contrib.auth",\n    "rest_framework",  # the API\n]': (
                'INSTALLED_APPS = [\n    "django.contrib.auth",\n    "rest_framework",  # the API\n    "jwt_lp_django",\n]'
            ),
        },
    ),
]


@pytest.mark.parametrize(("imports", "parts"), EXACT, ids=["auth0", "toolkit", "simplejwt"])
def test_the_rest_of_a_module_keeps_its_layout(imports: str, parts: dict[str, str]) -> None:
    """Each part is rewritten to the character: comments and line breaks stay where they were."""
    text = imports + "\n" + "\n\n\n".join(parts) + "\n"
    ((migration,), _) = migrate([Source(Path("m.py"), "m.py", text.encode())])
    assert migration.data.decode().endswith("\n" + "\n\n\n".join(parts.values()) + "\n")


BLOCKLIST = """
from flask_jwt_extended import JWTManager, get_jwt_identity, jwt_required
@jwt.token_in_blocklist_loader
def revoked(header, payload): return True
@app.get("/a")
@jwt_required()
def a(): return get_jwt_identity()
class V(MethodView):
    decorators = [jwt_required(optional=True)]
"""


def test_a_check_that_refuses_more_than_the_guard_stays() -> None:
    """With a blocklist `jwt_required` stays below the declaration, and goes on asking it."""
    ((migration,), _) = migrate([Source(Path("m.py"), "m.py", BLOCKLIST.encode())])
    text = migration.data.decode()
    assert '@app.get("/a")\n@authenticated\n@jwt_required()\ndef a(): return get_jwt_identity()' in text
    assert "decorators = [jwt_required(optional=True), public(identify=True)]" in text
    again, _ = migrate([Source(Path("m.py"), "m.py", migration.data)])
    assert [migration.data] == [each.data for each in again]


def test_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cli: Any) -> None:
    """Without libcst the command names the extra."""
    import sys

    for name in [name for name in sys.modules if name.startswith("jwt_lp.cli.migration")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "libcst", None)
    code, _, err = cli("migrate", str(tmp_path))
    assert (2, True) == (code, "jwt-lp[migrate]" in err)
