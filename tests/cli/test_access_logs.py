"""`jwt-lp usage import --format`: the logs that real servers write here, and what the command says."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from jwt_lp.stores import open_store
from prerequisites import require

pytest.importorskip("sqlalchemy")

URL = "sqlite:///jwt-lp.db"
PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
APP = """
def wsgi(environ, start):
    status = "403 Forbidden" if environ["PATH_INFO"].endswith("8") else "200 OK"
    start(status, [("Content-Length", "2")])
    return [b"ok"]

async def asgi(scope, receive, send):
    status = 403 if scope["path"].endswith("8") else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
NGINX = """
daemon off; pid nginx.pid; error_log stderr; events {}
http {
  log_format named '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "-" "$http_user_agent" who="$http_x_user"';
  log_format json escape=json '{"remote_user":"$remote_user","time_iso8601":"$time_iso8601","request":"$request","status":"$status"}';
  access_log nginx.log combined; access_log named.log named; access_log nginx-json.log json;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server { listen 127.0.0.1:PORT; location / { return 200 "ok"; } location /orders/8 { return 403 "no"; } }
}
"""
APACHE = """
ServerName localhost
ServerRoot "FOLDER"
PidFile apache.pid
ErrorLog error.log
Listen 127.0.0.1:PORT
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule alias_module MODULES/mod_alias.so
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-Agent}i\\" \\"%{X-User}i\\"" named
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
CustomLog apache.log named
CustomLog common.log common
Redirect 302 /orders/7 /elsewhere
Redirect 403 /orders/8
"""


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: an import into the store of the project's folder, with the routes of the shop."""
    project.write("routes.json", cli("routes", "shop:app", "--json")[1])
    project.write("served.py", APP)

    def run(*arguments):
        more = () if "--routes" in arguments else ("--routes", "routes.json")
        code, out, err = cli("usage", "import", *arguments, *more, JWT_LP_STORE=URL, COLUMNS="400")
        return code, out, " ".join(err.split())

    return run


def _uses():
    store = open_store(URL)
    found = sorted((row.use.subject, row.use.endpoint, row.use.outcome) for row in store.usage())
    store.close()
    return found


@contextmanager
def served(*command, port):
    """A server's process, from when it answers until it has written its log."""
    with Path("server.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ask(port):
    """Alice reads order 7 and is refused order 8, with a user agent that looks like fields of the log."""
    for path in ("/orders/7", "/orders/8?a=%22"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        basic = base64.b64encode(b"alice:x").decode()
        headers = {"Authorization": f"Basic {basic}", "X-User": "bob", "User-Agent": 'x" who="mallory'}
        connection.request("GET", path, headers=headers)
        connection.getresponse().read()
        connection.close()
    time.sleep(0.2)


BOTH = [("alice", "shop.order", "denied"), ("alice", "shop.order", "granted")]
BOBS = [("bob", "shop.order", "denied"), ("bob", "shop.order", "granted")]


@pytest.mark.parametrize(
    ("log", "arguments", "uses"),
    [
        ("nginx.log", ("--format", "nginx"), BOTH),
        ("nginx.log", ("--format", "auto"), BOTH),
        ("named.log", ("--format", "nginx", "--map", "subject=who"), BOBS),
        ("nginx-json.log", ("--format", "nginx-json"), BOTH),
        ("nginx-json.log", ("--format", "auto"), BOTH),
    ],
)
def test_nginx(run, project, log, arguments, uses):
    """nginx's own logs, and one with a header of its own."""
    program = shutil.which("nginx", path=PATHS)
    require(program, "nginx: apt-get install nginx-light")
    port = _free_port()
    project.write("nginx.conf", NGINX.replace("PORT", str(port)))
    with served(
        program, "-p", str(project.folder), "-c", str(project.folder / "nginx.conf"), "-e", "stderr", port=port
    ):
        _ask(port)
    code, out, err = run(log, *arguments)
    assert (0, "", uses) == (code, err, _uses()), out


@pytest.mark.parametrize(
    ("log", "arguments", "uses"),
    [
        ("apache.log", ("--format", "apache", "--map", "subject=extra1"), BOBS),
        ("common.log", ("--format", "auto", "--map", "subject=host"), [(f"{'127.0.0.1'}", *use[1:]) for use in BOTH]),
    ],
)
def test_apache(run, project, log, arguments, uses):
    """Apache's common log, and the combined one with a header after it."""
    program = shutil.which("apache2", path=PATHS)
    modules = Path("/usr/lib/apache2/modules")
    require(program and modules.exists(), "apache2: apt-get install apache2-bin")
    port = _free_port()
    text = APACHE.replace("FOLDER", str(project.folder)).replace("PORT", str(port)).replace("MODULES", str(modules))
    project.write("apache.conf", text)
    with served(program, "-f", str(project.folder / "apache.conf"), "-DFOREGROUND", port=port):
        _ask(port)
    code, out, err = run(log, *arguments)
    assert (0, "", uses) == (code, err, _uses()), out


def test_gunicorn(run):
    """Its log has the name that the client sent; the agent's quotes are escaped."""
    pytest.importorskip("gunicorn")
    port = _free_port()
    command = (
        sys.executable,
        "-m",
        "gunicorn",
        "served:wsgi",
        "-b",
        f"127.0.0.1:{port}",
        "--access-logfile",
        "access.log",
    )
    with served(*command, port=port):
        _ask(port)
    code, out, err = run("access.log", "--format", "auto")
    assert (0, "", BOTH) == (code, err, _uses())
    assert "access.log: the format is combined, as nginx, Apache and gunicorn write it" in out


def test_uvicorn(run):
    """Its log has neither a time nor a subject, and the error says what to do."""
    pytest.importorskip("uvicorn")
    port = _free_port()
    with served(sys.executable, "-m", "uvicorn", "served:asgi", "--port", str(port), "--no-use-colors", port=port):
        _ask(port)
    lines = [line for line in Path("server.out").read_text().splitlines() if "HTTP/1.1" in line]
    Path("access.log").write_text("\n".join(lines))
    code, _, err = run("access.log", "--format", "auto")
    assert (2, True) == (code, "access.log: the format uvicorn has no subject: log who called" in err)
    code, _, err = run("access.log", "--format", "uvicorn", "--map", "subject=extra1")
    assert (2, True) == (code, "put %(asctime)s first in the format of uvicorn's access log" in err)
    Path("timed.log").write_text("".join(f"2026-05-01 12:00:00,123 {line} user=alice\n" for line in lines))
    assert 0 == run("timed.log", "--format", "uvicorn", "--map", "subject=user")[0]
    assert BOTH == _uses()


@pytest.mark.parametrize(
    ("text", "arguments", "code", "message"),
    [
        ("what\n", ("--format", "auto"), 2, "a.log: line 1: it has no known format of an access log"),
        ("", (), 2, "is it CSV or JSON Lines?"),
        ("", ("--format", "auto"), 2, "a.log: the file is empty"),
        ("x\n", ("--format", "nginy"), 2, "'nginy' is not one of 'csv', 'jsonl', 'auto'"),
    ],
)
def test_what_is_no_log(run, project, text, arguments, code, message):
    """An unknown log is exit code 2, and nothing is written."""
    project.write("a.log", text)
    found = run("a.log", *arguments)
    assert (code, True) == (found[0], message in found[2]), found
    assert not Path("jwt-lp.db").exists() or [] == _uses()


def test_a_log_without_the_routes(project, cli):
    """A log says no permission, so the routes are needed."""
    project.write("a.log", "x\n")
    code, _, err = cli("usage", "import", "a.log", "--format", "nginx", JWT_LP_STORE=URL)
    assert (2, True) == (code, "pass --routes FILE" in " ".join(err.split()))


def test_faulty_lines_are_counted(project, run):
    """A line of another format is left out and shown with its number; a request without a response is no fault."""
    line = '127.0.0.1 - alice [01/May/2026:00:30:00 +0100] "GET /orders/7 HTTP/1.1" {} 2 "-" "-"\n'
    project.write("a.log", line.format(200) + "nonsense\n" + line.format("000") + line.format("-"))
    code, out, _ = run("a.log", "--format", "combined")
    assert (1, True) == (code, "4 rows, 1 granted, from 2026-04-30 to 2026-04-30" in out)
    shown = " ".join(out.split())
    assert "!! 1 it is not a line of the format combined such as line 2" in shown
    assert "2 its request got no response such as line 3" in shown
