"""The command `jwt-lp lint`: what tokens carry without need, and what they lack."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from rich.text import Text

from jwt_lp._support.toml_lines import read_toml
from jwt_lp._support.validation import did_you_mean
from jwt_lp.cli.output import DIM, ERROR, OK, WARNING, brief, count, emit, grid, notices, say, text
from jwt_lp.cli.param_types import ParamType
from jwt_lp.cli.sarif import sarif
from jwt_lp.cli.target import app_option, application, settings, silence_logs
from jwt_lp.cli.token_batch import lint_tokens, read_tokens
from jwt_lp.errors import ConfigurationError
from jwt_lp.lint.linter import RULES, SEVERITIES, LintOptions
from jwt_lp.permissions.requirement_nodes import Binding
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.cli.token_batch import LintedToken, UnreadableToken
    from jwt_lp.guard.settings import Settings
    from jwt_lp.lint.linter import LintFinding

_MAX_TOML: Final = 1024 * 1024
_MAX_SHOWN: Final = 4
_STYLES: Final[Mapping[str, str]] = {"error": ERROR, "warning": WARNING, "note": DIM}


class _LintContext(NamedTuple):
    """The policy and the options that tokens are checked against."""

    policy: Policy
    options: LintOptions


class _CheckIdParam(ParamType):
    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value)
        return (
            name if name in RULES else self.fail(f"there is no check {name!a}{did_you_mean(name, RULES)}", param, ctx)
        )


@click.command("lint", short_help="Report what tokens carry without need, and what they lack.")
@click.argument("words", metavar="[FILE|-|TOKEN]", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="The output format. With json and sarif, standard output has nothing else.",
)
@click.option(
    "--fail-on",
    type=click.Choice([*SEVERITIES, "never"]),
    default="warning",
    show_default=True,
    help="The lowest severity for which the exit code is 1.",
)
@click.option("--policy", "path", metavar="FILE", help="The policy file that permissions are compared with.")
@click.option("--only", type=_CheckIdParam(), multiple=True, help="Run only this check. Repeatable.")
@click.option("--skip", type=_CheckIdParam(), multiple=True, help="Skip this check. Repeatable.")
@app_option
@click.option(
    "--settings",
    "where",
    metavar="WHERE",
    help="MODULE:NAME, MODULE (its JWT_LP), env, or a FILE.toml, which may have only [lint].",
)
@click.pass_context
def lint(ctx: click.Context, /, **options: Any) -> None:
    """Report what tokens carry without need, and what they lack: tokens of any issuer, signed, unsigned or expired.

    Nothing is verified, and no claim's value is printed. A FILE, or standard input for "-", has one token per line;
    blank lines and lines that begin with # are skipped. A TOKEN given as an argument stays in the shell's history.

    \b
      jwt-lp lint token.txt
      jwt-lp lint - --policy least-privilege.toml < token.txt
      jwt-lp lint tokens/staging.txt --app shop.main:app --fail-on error
      jwt-lp lint token.txt --format sarif > lint.sarif

    With --app, permissions are compared with the requirements of its routes. Severities and exemptions are read from
    the settings: LINT, or [lint] in a FILE.toml.

    The exit code is 0 if all findings are below --fail-on, 1 if one is not, and 2 if a line is not a token.
    """  # noqa: D301 - a real backspace is what click looks for
    context = _lint_context(ctx, options["target"], options["where"], options["path"])
    context = context._replace(options=_select_checks(context.options, options["only"], options["skip"]))
    linted, unreadable = lint_tokens(read_tokens(options["words"]), *context, time.time())
    threshold: str = options["fail_on"]
    failed = threshold != "never" and any(token.report.reaches(threshold) for token in linted)  # type: ignore[arg-type]
    if options["form"] == "sarif":
        emit(sarif(linted, unreadable, version("jwt-lp")))
    elif options["form"] == "json":
        emit(_as_json(linted, unreadable, context.options, failed=failed))
    else:
        _print_reports(linted, context.options)
    notices(map(str, unreadable), err=True)
    ctx.exit(2 if unreadable else 1 if failed else 0)


def _lint_context(ctx: click.Context, target: str | None, where: str | None, path: str | None) -> _LintContext:
    if target and where:
        raise click.UsageError("--app has settings of its own: leave --settings out")
    if target or (ctx.obj and not where):
        app, host = application(target, ctx.obj)
        with silence_logs():
            guard, routes = host.guard(app), host.routes(app)
        requirements = [route.requirement for route in routes if route.requirement is not None]
        bindings = [atom for requirement in requirements for atom in requirement.atoms() if isinstance(atom, Binding)]
        claims = frozenset(path[0] for atom in bindings for _, path in atom.paths)
        context = _service_context(guard.settings, claims)
        required = frozenset(permission for requirement in requirements for permission in requirement.permissions)
        context = context._replace(options=replace(context.options, required=required))
    elif where is None:
        context = _LintContext(EMPTY_POLICY, LintOptions())
    else:
        context = _options_file(where) or _service_context(settings(where), frozenset())
    return context._replace(policy=Policy.load(path)) if path else context


def _options_file(where: str) -> _LintContext | None:
    """The options in a TOML file that has `[lint]` and nothing else; None for any other settings."""
    if not where.endswith(".toml"):
        return None
    data = read_toml(where, _MAX_TOML)[0]
    if set(data) != {"lint"}:
        return None
    try:
        return _LintContext(EMPTY_POLICY, LintOptions.from_mapping(data["lint"], "lint"))
    except ConfigurationError as error:
        raise ConfigurationError(*(f"{where}: {fault}" for fault in error.faults)) from None


def _service_context(settings: Settings, claims: frozenset[str]) -> _LintContext:
    """The service's policy and options, with every claim that its profiles, bindings and audiences read."""
    options = settings.lint or LintOptions()
    names = {*options.read, *claims, *(path[0] for name in settings.bind.values() for _, path in name.paths)}
    names |= {name for allowed in settings.claims.values() for name in allowed.claims}
    for issuer in settings.issuers:
        profile = issuer.profile
        names |= {profile.audience, profile.subject, profile.token_id, *profile.client, *profile.required}
        names |= {*profile.expected, *(name for group in profile.any_of for name in group)}
        names |= {source.path[0] for source in (*profile.sources, *profile.ceiling)}
        names |= {rule.claim for rules in profile.apps for rule in rules}
    return _LintContext(settings.policy, replace(options, read=frozenset(names)))


def _select_checks(options: LintOptions, only: Sequence[str], skip: Sequence[str]) -> LintOptions:
    off = [check for check in RULES if check in skip or (only and check not in only)]
    return replace(options, severity={**options.severity, **dict.fromkeys(off, "off")}) if off else options


def _print_reports(linted: Sequence[LintedToken], options: LintOptions) -> None:
    for token in linted:
        report = token.report
        place = f"{token.file}:{token.line}: " if token.file else f"line {token.line}: " if token.line > 1 else ""
        say(text(f"{place}token {token.token}", DIM), text(f", {count(report.size, 'character')}", DIM))
        grid((_row(finding) for finding in report.findings), fixed=2)
        parts = [count(sum(f.severity == name for f in report.findings), name) for name in SEVERITIES]
        saving = f"; {report.saved} characters shorter without what is reported" if report.saved else ""
        exempt = f"; {len(report.exempt)} exempt, not fixed" if report.exempt else ""
        say(text(", ".join(parts), _STYLES[report.worst] if report.worst else OK), saving, exempt)
    if options.off:
        more = f" and {len(options.off) - _MAX_SHOWN} more" if len(options.off) > _MAX_SHOWN else ""
        say(text(f"{count(len(options.off), 'check')} left out: {', '.join(options.off[:_MAX_SHOWN])}{more}", WARNING))


def _row(finding: LintFinding) -> tuple[Text, Text, Text]:
    size = f" ({count(finding.characters, 'character')})" if finding.characters else ""
    lines = text(f"{brief(finding.message)}{size}"), text(finding.remedy, DIM)
    return text(finding.severity, _STYLES[finding.severity]), text(finding.id), Text("\n").join(lines)


def _as_json(
    linted: Sequence[LintedToken], unreadable: Sequence[UnreadableToken], options: LintOptions, *, failed: bool
) -> dict[str, object]:
    return {
        "failed": failed,
        "tokens": [
            {
                "file": token.file or None,
                "line": token.line or None,
                "token": token.token,
                "size": token.report.size,
                "saved": token.report.saved,
                "findings": [finding._asdict() for finding in token.report.findings],
                "exempt": [
                    {
                        **exempted.finding._asdict(),
                        "reason": exempted.exemption.reason,
                        "until": exempted.exemption.until.isoformat(),
                    }
                    for exempted in token.report.exempt
                ],
            }
            for token in linted
        ],
        "unreadable": [
            {"file": token.file or None, "line": token.line or None, "why": token.why} for token in unreadable
        ],
        "off": list(options.off),
    }
