"""The demo itself: it starts everything, sends the requests of `steps`, prints a table of the answers, and opens a console."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from http import HTTPStatus
from importlib.util import find_spec

import urllib3
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .applications import HOSTS, StartError, serve_example
from .console import ConsoleFailed, show
from .issuer import DemoIssuer, serve_issuer
from .steps import LESSONS, STEPS, DemoStep


def main() -> int:
    """Run the demo. Returns 0 if every answer is the right one, otherwise 1."""
    needed = [module for _, modules, _ in HOSTS for module in modules] + ["jinja2", "python_multipart"]
    missing = [module for module in needed if find_spec(module) is None]
    if missing:
        print(f"the demo needs {', '.join(dict.fromkeys(missing))}: make demo installs them", file=sys.stderr)
        return 1
    # A file or a CI log has no width: nothing is cut there.
    console = Console(width=None if sys.stdout.isatty() else 200)
    try:
        with ExitStack() as stack:
            issuer = stack.enter_context(serve_issuer())
            console.print(
                f"An issuer serves its key set at {issuer.url}/jwks.json; starting the orders API on five hosts …"
            )
            servers = [stack.enter_context(serve_example(host, script, issuer)) for host, _, script in HOSTS]
            for server in servers:
                server.wait()
            table, right = _ask_all(issuer, {server.host: server.port for server in servers})
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    console.print(table)
    for line in LESSONS:
        console.print(Text(f"· {line}"))
    for line in issuer.notes:
        console.print(Text(f"· {line}"), soft_wrap=True)
    total = len(STEPS) * len(HOSTS)
    style = "bold green" if right == total else "bold red"
    console.print(Text(f"{right} of {total} answers are the right one.", style=style))
    if right != total:
        return 1
    try:
        show()
    except ConsoleFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _ask_all(issuer: DemoIssuer, ports: dict[str, int]) -> tuple[Table, int]:
    """Send every request to every host. Returns the table of the answers, and how many are right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("request", no_wrap=True)
    table.add_column("the token", no_wrap=True)
    for host in ports:
        table.add_column(host, justify="right", no_wrap=True)
    right = 0
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        for step in STEPS:
            step.before(issuer)
            token = step.token(issuer)
            answers = [_status(pool, issuer, step, host, port, token) for host, port in ports.items()]
            right += sum(answer == step.expected for answer in answers)
            table.add_row(Text(step.request), Text(step.title), *(_cell(answer, step.expected) for answer in answers))
    return table, right


def _cell(answer: int, expected: int) -> Text:
    if answer == expected:
        return Text(str(answer), style="green" if answer < HTTPStatus.BAD_REQUEST else "yellow")
    return Text(f"{answer} (not {expected})", style="bold red")


def _status(
    pool: urllib3.PoolManager, issuer: DemoIssuer, step: DemoStep, host: str, port: int, token: str | None
) -> int:
    method, _, path = step.request.partition(" ")
    # Django routes by path alone, so its example creates orders at another path.
    path = "/orders/new" if (host, step.request) == ("Django", "POST /orders") else path
    path = path.replace("{id}", issuer.agent.asked.get(host, {}).get("id", "none"))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    content = None if step.content is None else step.content(issuer, host)
    answer = pool.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, json=content)
    if step.answered is not None and answer.status < HTTPStatus.BAD_REQUEST:
        step.answered(issuer, host, answer.json())
    return answer.status


if __name__ == "__main__":
    sys.exit(main())
