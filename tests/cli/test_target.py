from __future__ import annotations

import json

import pytest

from jwt_lp import ConfigurationError, Settings
from jwt_lp.cli.output import Failure
from jwt_lp.cli.target import application, load, relaxed_settings, settings


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop", "write MODULE:APP, such as shop.wsgi:application"),
        (":app", "write MODULE:APP"),
        ("shop:", "write MODULE:APP"),
        ("src/shop.py", "name the module, not the file: src.shop:app"),
        ("./shop.py:main", "name the module, not the file: shop:main"),
        ("shopp:app", "there is no module shopp in "),
        ("shop.main:app", "there is no module shop.main in "),
        ("shop:application", "there is shop:app, shop:bare, shop:undeclared"),
        ("shop:app.inner", "there is no inner in it"),
        ("shop:JWT_LP()", "it is not a function but a value of type dict; leave the () out"),
        ("shop:create_app", "shop:create_app is a function: call it, shop:create_app(), if it makes the application"),
        ("shop:JWT_LP", "dict is not an application of an installed host"),
    ],
)
def test_a_wrong_application_is_reported_with_a_remedy(project, target, message):
    """Every way to get MODULE:APP wrong has its own sentence."""
    with pytest.raises(Failure) as failure:
        application(target, ())
    assert message in failure.value.message
    assert 2 == failure.value.exit_code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise RuntimeError('no\\x1b[2Jdatabase')", "RuntimeError: no\\x1b[2Jdatabase"),
        ("raise SystemExit", "SystemExit"),
        ("def (:", "SyntaxError"),
    ],
)
def test_a_project_that_cannot_be_imported_is_blamed_with_its_place(project, text, message):
    """An error of the project's code becomes one escaped sentence with file and line."""
    project.write("broken.py", f"\n{text}\n")
    with pytest.raises(Failure) as failure:
        load("broken:app")
    assert f"importing broken failed: {message}" in failure.value.message
    assert "raised at " in failure.value.message


def test_a_factory_that_fails_is_blamed(project):
    """A factory that raises is wrong usage, with its message and place."""
    project.write("broken.py", "def make():\n    raise ValueError('no settings')\n")
    with pytest.raises(Failure) as failure:
        load("broken:make()")
    assert "calling broken:make() failed: ValueError: no settings" in failure.value.message
    assert "broken.py:2" in failure.value.message


def test_faults_of_the_configuration_are_all_shown(project, cli):
    """A configuration error is printed with each fault on its own line, and exits with 2."""
    project.write("broken.py", "from jwt_lp import Guard\napp = Guard({'ISSER': 'x'})\n")
    code, out, err = cli("routes", "broken:app")
    assert (2, "") == (code, out)
    assert "ISSER" in err
    assert "\n  JWT_LP: " in err


def test_a_proxy_outside_its_context_is_not_an_application(project):
    """Looking for applications in a module survives objects that raise when they are asked what they are."""
    project.write(
        "proxied.py",
        "from toyhost import ToyApp\n"
        "class Proxy:\n    @property\n    def __class__(self):\n        raise RuntimeError('outside of a context')\n"
        "current = Proxy()\napp = ToyApp([])\n",
    )
    with pytest.raises(Failure) as failure:
        load("proxied:nope")
    assert "there is proxied:app" in failure.value.message


def test_the_passed_application_gives_way_to_a_named_one(project, app):
    """MODULE:APP on the command line overrides the application that the host passed."""
    other = load("shop:undeclared")
    assert other is application("shop:undeclared", (app,))[0]
    assert app is application(None, (app,))[0]


def test_an_application_that_the_host_passed_is_not_explained(project):
    """For an application that the host passed, the error does not list a module's applications."""
    with pytest.raises(ConfigurationError):
        application(None, (object(),))


@pytest.fixture
def issuer(project):
    return project.authority.settings()["ISSUER"]


def _toml(project, prefix=""):
    found = json.loads((project.folder / "settings.json").read_text(encoding="utf-8"))
    jwk = ", ".join(f"{name} = {json.dumps(value)}" for name, value in found["JWKS"]["keys"][0].items())
    return (
        f"{prefix}\nissuer = {json.dumps(found['ISSUER'])}\naudience = {json.dumps(found['AUDIENCE'])}\n"
        f"algorithms = ['ES256']\nown = true\njwks = {{ keys = [{{ {jwk} }}] }}\n"
    )


@pytest.mark.parametrize("target", ["shop:JWT_LP", "shop", "shop:FLASK", "shop:OBJECT", "shop:READY"])
def test_settings_of_a_module(project, issuer, target):
    """Settings may be a mapping, a module with JWT_LP, a Flask-like config, an object with JWT_LP or Settings."""
    project.write(
        "shop.py",
        "import json, pathlib, types\nfrom jwt_lp import Settings\n"
        "JWT_LP = json.loads(pathlib.Path('settings.json').read_text())\n"
        "FLASK = {'DEBUG': True, 'JWT_LP': JWT_LP}\n"
        "OBJECT = types.SimpleNamespace(JWT_LP=JWT_LP)\nREADY = Settings.from_mapping(JWT_LP)\n",
    )
    assert issuer == settings(target).issuers[0].issuer


@pytest.mark.parametrize("prefix", ["", "[jwt_lp]"])
def test_settings_of_a_file(project, issuer, prefix):
    """A TOML file has lower-case keys, at its top or under [jwt_lp]."""
    project.write("lp.toml", _toml(project, prefix))
    assert issuer == settings("lp.toml").issuers[0].issuer


def test_settings_of_the_environment(project, monkeypatch):
    """`env` reads JWT_LP_… variables; it is the default where there are any, and the token is none of them."""
    for name, value in {
        "JWT_LP_ISSUER": "https://login.example.com/",
        "JWT_LP_AUDIENCE": "orders-api",
        "JWT_LP_ALGORITHMS": "RS256",
        "JWT_LP_JWKS_URL": "https://login.example.com/keys",
        "JWT_LP_TOKEN": "not a setting",
    }.items():
        monkeypatch.setenv(name, value)
    expected = "https://login.example.com/"
    assert [expected, expected] == [settings(target).issuers[0].issuer for target in ("env", None)]


def test_settings_of_django(project, monkeypatch, issuer):
    """Where DJANGO_SETTINGS_MODULE is set, its JWT_LP is the default."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop")
    assert issuer == settings(None).issuers[0].issuer


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "which settings? pass --app MODULE:APP or --settings"),
        ("shop:app", "it is a value of type ToyApp, not a mapping of settings"),
        ("shop:NOPE", "there is no NOPE in it"),
    ],
)
def test_settings_that_are_not_there(project, monkeypatch, target, message):
    """Settings that cannot be found are wrong usage, with what to pass instead."""
    monkeypatch.setenv("JWT_LP_DEV", "1")
    with pytest.raises(Failure) as failure:
        settings(target)
    assert message in failure.value.message


def test_a_fault_in_a_toml_file_is_reported_with_its_line(project):
    """A fault in a settings file is reported with its line."""
    project.write("lp.toml", "issuer = \n")
    with pytest.raises(ConfigurationError, match=r"lp\.toml:1: not TOML"):
        settings("lp.toml")


@pytest.mark.parametrize(
    ("day", "message"),
    [("2999-01-01", "NOT enforced, until then"), ("2000-01-01", "is over: requirements are enforced")],
)
def test_relaxed_settings_are_reported(project, day, message):
    """Observe mode, development tokens and an expired OBSERVE_UNTIL are reported."""
    from dataclasses import replace
    from datetime import date

    found = Settings.from_mapping(project.authority.settings(), environ={"JWT_LP_DEV": "1"})
    notices = relaxed_settings(replace(found, observe_until=date.fromisoformat(day)))
    assert message in notices[0]
    assert "JWT_LP_DEV=1" in notices[1]
    assert [] == relaxed_settings(replace(found, development=False))
