from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as release_of
from pathlib import Path

import pytest
from packaging.version import Version

from jwt_lp.cli import NO_APP, main, run

ROOT = Path(__file__).parents[2]


def _release():
    try:
        return release_of("jwt-lp")
    except PackageNotFoundError:
        return "(not installed)"


@pytest.mark.parametrize("missing", ["click", "rich.console"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys, missing):
    """Where click or rich is not installed, one line names the extra, and the exit code is 2."""
    for name in [name for name in sys.modules if name.startswith("jwt_lp.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert 2 == run(["routes"])
    assert ("", 'jwt-lp needs click and rich: pip install "jwt-lp[cli]"\n') == capsys.readouterr()


def test_another_missing_module_is_not_reported_as_a_missing_extra(monkeypatch):
    """Another missing module is raised as it is, and not reported as a missing extra."""
    for name in [name for name in sys.modules if name.startswith("jwt_lp.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jwt_lp.guard.settings", None)
    with pytest.raises(ModuleNotFoundError):
        run(["routes"])


def test_importing_the_package_imports_neither_click_nor_rich():
    """A host's own command can import jwt_lp.cli where the extra is missing."""
    code = "import sys, jwt_lp.cli; print(sorted({'click', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_a_command_imports_its_own_module():
    """`version` starts without what reviews and migrations import; every command has the name that it is listed by."""
    code = "import sys; from jwt_lp.cli import run; run(['version']); print(*(name for name in sys.modules if '.cli.' in name))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"jwt_lp.cli.commands", "jwt_lp.cli.output"} == set(done.stdout.splitlines()[-1].split())
    from click import Context

    from jwt_lp.cli.commands import commands

    context = Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        assert name == command.name


def test_main_takes_the_process_arguments_and_exits(monkeypatch, capsys):
    """The console script exits with the command's code."""
    monkeypatch.setattr(sys, "argv", ["jwt-lp", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert 0 == stop.value.code
    assert f"jwt-lp {_release()}\n" == capsys.readouterr().out


def test_version_names_what_a_bug_report_needs(cli):
    """`version` prints the releases of jwt-lp, Python and what is installed of the rest."""
    code, out, _ = cli("version")
    assert 0 == code
    assert f"jwt-lp {_release()}" == out.splitlines()[0]
    assert f"PyJWT {release_of('PyJWT')}" in out.splitlines()


def test_version_omits_hosts_that_are_not_installed(cli, monkeypatch):
    """A host that is not installed is not listed."""
    monkeypatch.setattr("jwt_lp.cli.commands._HOSTS", ("no-such-distribution",))
    assert "no-such-distribution" not in cli("version")[1]


@pytest.mark.parametrize("command", ["", "routes", "explain", "token", "observed", "version"])
def test_help_teaches(cli, command):
    """Every command has a help text, and examples in it keep their lines."""
    code, out, _ = cli(*filter(None, [command]), "--help")
    assert 0 == code
    assert "\b" not in out
    assert "Usage:" in out


def test_an_unknown_command_is_wrong_usage(capsys):
    """A command that does not exist exits with 2; newer releases of click suggest one that does."""
    assert 2 == run(["rotues"])
    error = capsys.readouterr().err
    assert "rotues" in error
    if Version(release_of("click")) >= Version("8.5"):
        assert "'routes'" in error


def test_the_host_names_the_program(capsys):
    """A host's own command shows its own name in the help."""
    assert 0 == run(["--help"], NO_APP, prog="manage.py jwt_lp")
    assert "Usage: manage.py jwt_lp [OPTIONS]" in capsys.readouterr().out


def test_the_application_of_a_host_is_used(project, app, capsys):
    """With an application passed, no command needs MODULE:APP."""
    assert 0 == run(["routes"], app)
    assert "/orders/{order_id}" in capsys.readouterr().out


def test_none_means_the_application_of_django(project):
    """None means Django's application, not that there is no application."""
    # In a process of its own: here, other tests may have configured Django.
    code = "from jwt_lp.cli import run; import sys; sys.exit(run(['routes'], *eval(sys.argv[1])))"
    message = [
        subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, check=False)
        for given in ("(None,)", "()")
    ]
    assert [2, 2] == [each.returncode for each in message]
    assert [False, True] == ["which application?" in each.stderr for each in message]


def test_the_demo_runs_from_the_examples(tmp_path, monkeypatch):
    """`jwt-lp demo` runs the package `demo` in the examples folder, or its console, and exits with its code."""
    package = tmp_path / "demo"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    monkeypatch.setattr("jwt_lp.cli.demo.EXAMPLES", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (package / "console.py").write_text("import sys\nsys.exit(4)\n", encoding="utf-8")
    assert [3, 4] == [run(["demo"]), run(["demo", "--console"])]
    del sys.modules["demo"]
    assert (ROOT / "examples" / "demo" / "__main__.py").is_file()


def test_the_demo_needs_a_checkout(tmp_path, monkeypatch, capsys):
    """Without the examples folder, `jwt-lp demo` says where it runs, with exit code 1."""
    monkeypatch.setattr("jwt_lp.cli.demo.EXAMPLES", tmp_path)
    assert 1 == run(["demo"])
    assert "start it in a checkout, with make demo" in capsys.readouterr().err


def test_an_exit_with_a_message_is_a_failure(monkeypatch):
    """A command that leaves with a message and no code has not succeeded."""
    from jwt_lp.cli.commands import commands

    monkeypatch.setattr(commands, "main", lambda *_, **__: sys.exit("stopped"))
    assert 1 == run([])


def test_a_real_process(project):
    """The commands work in a process of their own, without a terminal."""
    code, out, err = project.run("routes", "shop:app")
    assert (0, "") == (code, err)
    assert "\x1b" not in out
    *table, counts = out.splitlines()
    assert max(map(len, table)) <= 80 < len(counts)


def test_colour_is_for_terminals_and_can_be_refused(project):
    """Colours are used where they are forced, and not where NO_COLOR is set; the marks stay either way."""
    coloured = project.run("routes", "shop:undeclared", FORCE_COLOR="1", TERM="xterm")[1]
    plain = project.run("routes", "shop:undeclared", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm")[1]
    assert "\x1b[1;31m!!" in coloured
    assert "[31m" not in plain
    assert "!!" in plain
