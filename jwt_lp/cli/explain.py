"""The command `jwt-lp explain`: the guard's decision about a token, step by step."""

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

    from jwt_lp.guard.decisions import Decision
    from jwt_lp.permissions.grants import Permissions
    from jwt_lp.tokens.claims import AccessToken


@click.command(short_help="Show what the guard would decide about a token, and why.")
@click.argument("words", metavar="[TOKEN|-]", nargs=-1)
@click.option("--require", "-r", metavar="PERMISSION", multiple=True, help="A required permission. Repeatable.")
@click.option(
    "--route", "address", metavar='"GET /orders/7"', help="The request. The application's router finds its route."
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
    """Show what the guard would decide about a token, step by step, and what would change the decision.

    The token is never printed. Of its claims only issuer, subject, client, audience and times are printed. Pass "-" to
    read the token from standard input, or set JWT_LP_TOKEN; without either, a prompt asks for it and does not show it.
    A token given as an argument stays in the shell's history.

    \b
      jwt-lp explain - --app shop.main:app --route "GET /orders/7" < token.txt
      jwt-lp explain - --settings settings.toml --require orders:read
      jwt-lp explain - --settings env            is the token valid at all?

    Wildcards stand for segments: orders:* covers orders:read but not orders:42:read; orders:** covers both.

    The exit code is 0 if the request would pass and 1 if it would be refused.
    """  # noqa: D301 - a real backspace is what click looks for
    # Removed from the environment first, because an application that reads its settings there would reject it.
    environment_token = os.environ.pop(TOKEN_VARIABLE, "")
    request = _build_request(ctx, require, address, target, where)
    token = _token(words, environment_token) if words or environment_token or request.requires_token else ""
    with silence_logs():
        explanation = _explain(request, token)
    (print_explanation_json if as_json else print_explanation)(explanation)
    ctx.exit(0 if explanation.decision.passes else 1)


def _build_request(
    ctx: click.Context, require: tuple[str, ...], address: str | None, target: str | None, where: str | None
) -> ExplainRequest:
    if require and address:
        raise click.UsageError("--require and --route exclude each other: pass one")
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
                match = host.resolve(app, method, path)
            if match is None:
                raise Failure(f"no route of the application serves {method} {path}: jwt-lp routes lists them")
            route = guard.rules.declare(match[0])
            return ExplainRequest(guard, f"{method} {route.template}", route.requirement, match[1], route)
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
            raise click.UsageError("--require takes a permission, not a token")
        if "{" in permission:
            raise click.UsageError(f"--require {permission}: fill in the template, or pass --app and --route")
    return all_of(*require) if require else AUTHENTICATED


def _token(words: Sequence[str], environment_token: str) -> str:
    """The token from an argument, standard input, the environment or a prompt. No error message repeats it."""
    if len(words) > 2 or (len(words) == 2 and words[0].lower() != "bearer"):  # noqa: PLR2004 - "Bearer" and the token
        raise click.UsageError("one token at a time: quote it, or pass - and pipe it in")
    if words[-1:] == ("-",):
        text = sys.stdin.read(2 * MAX_TOKEN)
    elif words:
        reject_file_argument(words)
        say("note: a token given as an argument stays in the shell's history: pass - and pipe it in", err=True)
        text = words[-1]
    elif environment_token:
        text = environment_token
    elif sys.stdin.isatty():
        text = str(click.prompt("Token", hide_input=True, err=True))
    else:
        raise click.UsageError(f"which token? pass - and pipe it in, or set {TOKEN_VARIABLE}")
    return normalize_token(text)


def _no_lines(name: str) -> tuple[str, ...]:
    """The lines of a header in the call that is explained: it has none."""
    del name
    return ()


def _held(token: AccessToken, decision: Decision) -> Permissions:
    """What the token grants without what was revoked, and what its subject holds by elevations."""
    return token.permissions if decision.token is None else decision.token.permissions


def _explain(request: ExplainRequest, token: str) -> Explanation:
    guard, requirement = request.guard, request.requirement
    # The call seems to come from this machine, because a development token is refused from any other.
    call = Call(request.label.partition(" ")[0], lambda: "", _no_lines, "", "127.0.0.1")
    header = f"Bearer {token}" if token else None
    decision = guard.check(header, requirement, request.params, request.label, call=call)
    trace = trace_verification(guard, token, time.time()) if token else None
    atoms: list[AtomResult] = []
    if trace is not None and trace.token is not None and trace.issuer is not None and requirement is not None:
        bound = sorted(name for name in guard.settings.bind if name in request.params)
        effective = requirement.with_bindings({name: guard.settings.bind[name] for name in bound})
        facts = EvaluationContext(
            _held(trace.token, decision), request.params, trace.token.claims, trace.token.issuer_name
        )
        atoms = evaluate_atoms(effective, facts, trace.token, trace.issuer, guard.settings)
    return Explanation(request, trace, decision, tuple(atoms), fingerprint(token, len(token)) if token else "")
