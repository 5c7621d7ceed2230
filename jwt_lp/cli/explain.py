"""What would the guard decide about this token, and why?"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from jwt_lp.cli.explain_view import ExplainRequest, Explanation, print_explanation, print_explanation_json
from jwt_lp.cli.missing_grants import AtomResult, evaluate_atoms
from jwt_lp.cli.output import Failure, say
from jwt_lp.cli.target import TOKEN_VARIABLE, app_option, application, settings, settings_option, silence_logs
from jwt_lp.cli.token_input import normalize_token, reject_file_argument
from jwt_lp.cli.verification_trace import trace_verification
from jwt_lp.guard.decisions import Call
from jwt_lp.guard.guard import Guard
from jwt_lp.jose.jws import MAX_TOKEN, fingerprint
from jwt_lp.permissions.requirements import AUTHENTICATED, EvaluationContext, Requirement, all_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(short_help="Say what the guard would decide about a token, and why.")
@click.argument("words", metavar="[TOKEN|-]", nargs=-1)
@click.option(
    "--require", "-r", metavar="PERMISSION", multiple=True, help="A permission that is asked for; repeat for more."
)
@click.option(
    "--route", "address", metavar='"GET /orders/7"', help="The call, as the application's own router sees it."
)
@app_option
@settings_option
@click.option("--json", "as_json", is_flag=True, help="One object on standard output, and nothing else there.")
@click.pass_context
def explain(
    ctx: click.Context,
    words: tuple[str, ...],
    require: tuple[str, ...],
    address: str | None,
    target: str | None,
    where: str | None,
    *,
    as_json: bool,
) -> None:
    """Say what the guard would decide about a token, step by step, and what would change the answer.

    The token itself is never printed, nor what its claims say, but for whom it is from and for, and its times.
    Pass "-" to read it from standard input, or set JWT_LP_TOKEN; without either, it is asked for and not shown.
    An argument ends up in the shell's history.

    \b
      jwt-lp explain - --app shop.main:app --route "GET /orders/7" < token.txt
      jwt-lp explain - --settings settings.toml --require orders:read
      jwt-lp explain - --settings env            is it a good token at all?

    Wildcards stand for segments: orders:* covers orders:read and not orders:42:read; orders:** covers both.

    The exit code is 0 when the request would pass and 1 when it would be refused.
    """  # noqa: D301 - a real backspace is what click looks for
    # Taken out of the environment first: an application that reads its settings there would trip over it.
    sent = os.environ.pop(TOKEN_VARIABLE, "")
    question = _build_request(ctx, require, address, target, where)
    token = _token(words, sent) if words or sent or question.requires_token else ""
    with silence_logs():
        answer = _explain(question, token)
    (print_explanation_json if as_json else print_explanation)(answer)
    ctx.exit(0 if answer.decision.passes else 1)


def _build_request(
    ctx: click.Context, require: tuple[str, ...], address: str | None, target: str | None, where: str | None
) -> ExplainRequest:
    if require and address:
        raise click.UsageError("--require and --route are two ways to ask: use one")
    if target and where:
        raise click.UsageError("--app has settings of its own: leave --settings out")
    if address and (where or not (target or ctx.obj)):
        raise click.UsageError("--route needs the application: --app MODULE:APP")
    if target or (ctx.obj and not where):
        app, host = application(target, ctx.obj)
        with silence_logs():
            guard = host.guard(app)
        if address:
            method, path = _parse_call(address)
            with silence_logs():
                found = host.resolve(app, method, path)
            if found is None:
                raise Failure(f"no route of the application serves {method} {path}: jwt-lp routes lists them")
            route = guard.rules.declare(found[0])
            return ExplainRequest(guard, f"{method} {route.template}", route.requirement, found[1], route)
    else:
        with silence_logs():
            guard = Guard(settings(where))
        ctx.call_on_close(guard.close)
    return ExplainRequest(guard, "", _parse_required(require))


def _parse_call(address: str) -> tuple[str, str]:
    method, _, rest = address.strip().rpartition(" ")
    path = urlsplit(rest).path
    if not path.startswith("/"):
        raise click.UsageError('--route is a method and a path: "GET /orders/7"')
    return method.strip().upper() or "GET", path


def _parse_required(require: tuple[str, ...]) -> Requirement:
    for permission in require:
        if permission.count(".") == 2 and permission.startswith("ey"):  # noqa: PLR2004 - a token has three parts
            raise click.UsageError("--require is followed by a permission, not by a token")
        if "{" in permission:
            raise click.UsageError(f"--require {permission}: fill the template in, or ask with --app and --route")
    return all_of(*require) if require else AUTHENTICATED


def _token(words: Sequence[str], sent: str) -> str:
    """The token from wherever it was given. Nothing that goes wrong here repeats it."""
    if len(words) > 2 or (len(words) == 2 and words[0].lower() != "bearer"):  # noqa: PLR2004 - "Bearer" and the token
        raise click.UsageError("one token at a time: quote it, or pass - and pipe it in")
    if words[-1:] == ("-",):
        given = sys.stdin.read(2 * MAX_TOKEN)
    elif words:
        reject_file_argument(words)
        say("note: a token given as an argument stays in the shell's history: pass - and pipe it in", err=True)
        given = words[-1]
    elif sent:
        given = sent
    elif sys.stdin.isatty():
        given = str(click.prompt("Token", hide_input=True, err=True))
    else:
        raise click.UsageError(f"which token? pass - and pipe it in, or set {TOKEN_VARIABLE}")
    return normalize_token(given)


def _explain(question: ExplainRequest, token: str) -> Explanation:
    guard, requirement = question.guard, question.requirement
    # As if from this machine, so that a development token is judged on its own.
    call = Call(question.label.partition(" ")[0], lambda: "", lambda _: (), "", "127.0.0.1")
    header = f"Bearer {token}" if token else None
    decision = guard.check(header, requirement, question.params, question.label, call=call)
    found = trace_verification(guard, token, time.time()) if token else None
    held: list[AtomResult] = []
    if found is not None and found.token is not None and found.issuer is not None and requirement is not None:
        names = sorted(name for name in guard.settings.bind if name in question.params)
        whole = requirement.with_bindings({name: guard.settings.bind[name] for name in names})
        facts = EvaluationContext(found.token.permissions, question.params, found.token.claims, found.token.issuer_name)
        held = evaluate_atoms(whole, facts, found.token, found.issuer, guard.settings)
    return Explanation(question, found, decision, tuple(held), fingerprint(token, len(token)) if token else "")
