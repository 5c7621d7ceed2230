"""The commands `jwt-lp roles`: roles mined from who holds what."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import DIM, OK, Failure, brief, count, emit, say, text
from jwt_lp.cli.row_input import default_issuer, form_option, map_option, open_input, prefix_faults, split_pairs
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.review.plan import write_atomically
from jwt_lp.review.role_mining import mine_roles, suggest_split
from jwt_lp.usage.assignment_import import ASSIGNMENT_FIELDS, read_assignments
from jwt_lp.usage.recorder import plain_subject
from jwt_lp.usage.row_reader import read_rows, write_csv
from jwt_lp.usage.usage_import import parse_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review.role_mining import MinedRole, RoleMining, RoleSplit
    from jwt_lp.stores import HeldGrant, Store

_SHOWN: Final = 10
_HOLDER_FIELDS: Final = ("issuer", "subject", "client")


@click.group(short_help="Mine roles from who holds what.")
def roles() -> None:
    """Mine roles from who holds what."""


@roles.command(short_help="Mine the fewest roles that give everybody exactly what they hold.")
@click.argument("file", metavar="[FILE|-]", required=False)
@form_option
@map_option
@click.option("--min-members", type=click.IntRange(1), default=1, show_default=True, help="Leave out smaller roles.")
@click.option("-o", "--output", metavar="POLICY", help="Write the roles as a policy file.")
@click.option("--members", metavar="CSV", help="Write who is a member of which role, as jwt-lp grants import reads it.")
@click.option("--report", "shown_as", type=click.Choice(["text", "json"]), default="text", show_default=True)
@store_options
@click.pass_context
def mine(ctx: click.Context, /, file: str | None, shown_as: str, **options: Any) -> None:
    """Mine roles from the assignments in FILE (CSV or JSON Lines with subject or client, and grant), or in the store.

    The roles give everybody exactly what they hold: never more, and with --min-members 1 never less. From a store with
    usage, the output also shows how to split a role that is broader than what its members use. Nothing is changed.

    \b
      jwt-lp roles mine assignments.csv --map subject=user,grant=permission -o mined.toml
      jwt-lp roles mine --store sqlite:///jwt-lp.db --min-members 3
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(options.pop("url"), options.pop("target"), options.pop("where"))
    output, members, least = options.pop("output"), options.pop("members"), options.pop("min_members")
    used: dict[str, set[str]] = {}
    if file is not None:
        held = _by_holder(_from_file(file, **options))
    else:
        settings = place.settings(ctx)
        with place.open(settings) as store:
            held = _by_holder(row.held for row in store.held_grants())
            used = _used(store)
    if not held:
        raise Failure("nobody holds a grant directly: there is nothing to mine roles from")
    mined = mine_roles(held, min_members=least)
    splits = [split for role in mined.roles if (split := suggest_split(role, used)) is not None]
    if output is not None:
        write_atomically(output, _policy_text(mined).encode(), mode=0o600)
    if members is not None:
        write_atomically(members, _member_rows(mined).encode(), mode=0o600)
    if shown_as == "json":
        emit(_as_json(mined, splits))
    else:
        _report(mined, splits, len(held), [each for each in (output, members) if each is not None])


def _from_file(file: str, *, form: Any, pairs: tuple[str, ...]) -> list[HeldGrant]:
    columns = parse_mapping(split_pairs(pairs), ASSIGNMENT_FIELDS)
    faults: list[str] = []
    with open_input(file, form) as opened, prefix_faults(opened.name):
        rows, _ = read_rows(opened.lines(), opened.form, ASSIGNMENT_FIELDS, columns, columns)
        issuer = default_issuer(None, None)
        found = list(
            read_assignments(rows, issuer, plain_subject, lambda line, why: faults.append(f"line {line}: {why}"))
        )
    if faults:
        more = (f"and {count(len(faults) - _SHOWN, 'more faulty row')}",) if len(faults) > _SHOWN else ()
        raise Failure(*(f"{brief(opened.name)}: {fault}" for fault in (*faults[:_SHOWN], *more)))
    return found


def _by_holder(grants_held: Iterable[HeldGrant]) -> dict[str, set[str]]:
    """The direct grants of each subject, or client where there is no subject."""
    held: dict[str, set[str]] = {}
    for each in grants_held:
        if each.grant and not each.role:
            holder = json.dumps([each.issuer, each.subject, "" if each.subject else each.client])
            held.setdefault(holder, set()).add(each.grant)
    return held


def _used(store: Store) -> dict[str, set[str]]:
    used: dict[str, set[str]] = {}
    for row in store.usage():
        use = row.use
        if use.outcome == "granted" and use.grant:
            holder = json.dumps([use.issuer, use.subject, "" if use.subject else use.client])
            used.setdefault(holder, set()).add(use.grant)
    return used


def _policy_text(mined: RoleMining) -> str:
    """The roles in the format of the policy file."""
    lines = ["version = 1"]
    for role in mined.roles:
        grants = ", ".join(json.dumps(grant) for grant in role.grants)
        lines += ["", f"[roles.{role.name}]", f'description = "{count(len(role.members), "member")}"']
        lines.append(f"grants = [{grants}]")
    return "\n".join(lines) + "\n"


def _member_rows(mined: RoleMining) -> str:
    target = io.StringIO()
    rows = ((*json.loads(member), role.name) for role in mined.roles for member in role.members)
    write_csv(target, (*_HOLDER_FIELDS, "role"), rows)
    return target.getvalue()


def _report(mined: RoleMining, splits: list[RoleSplit], holders: int, written: list[str]) -> None:
    roles_found, assigned = count(len(mined.roles), "role"), count(mined.assignments, "assignment")
    say(
        text(roles_found, OK),
        f" for {count(holders, 'holder')} with {assigned}; no exact cover has fewer than {mined.least:,}",
    )
    say(f"coverage {mined.coverage:.1%}, deviation {mined.deviation:,}: nobody gets more than they hold")
    if mined.direct:
        say(f"no role with enough members has them, so they stay direct: {count(mined.deviation, 'assignment')}")
    for role in mined.roles[:_SHOWN]:
        say(f"{role.name}: {count(len(role.members), 'member')}: {_some(role.grants)}")
    if len(mined.roles) > _SHOWN:
        say(text(f"and {count(len(mined.roles) - _SHOWN, 'more role')}", DIM))
    for split in splits[:_SHOWN]:
        parts = "; ".join(
            f"{count(len(part.members), 'member')}: {_some(part.grants)}" for part in split.parts[:_SHOWN]
        )
        unused = f"; nobody uses {_some(split.unused)}" if split.unused else ""
        say(f"{split.role.name} is broader than its use: {parts}{unused}")
    if len(splits) > _SHOWN:
        say(text(f"and {count(len(splits) - _SHOWN, 'more role')} broader than its use", DIM))
    for each in written:
        say(text(f"written: {each}", DIM))


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{' '.join(map(brief, names[:_SHOWN]))}{more}"


def _as_json(mined: RoleMining, splits: list[RoleSplit]) -> dict[str, object]:
    return {
        "assignments": mined.assignments,
        "coverage": mined.coverage,
        "deviation": mined.deviation,
        "least_roles": mined.least,
        "roles": [_role_json(role) for role in mined.roles],
        "direct": [{**_holder_json(holder), "grant": grant} for holder, grant in mined.direct],
        "splits": [
            {"role": split.role.name, "parts": [_role_json(part) for part in split.parts], "unused": split.unused}
            for split in splits
        ],
    }


def _role_json(role: MinedRole) -> dict[str, object]:
    members = [_holder_json(member) for member in role.members]
    return {"name": role.name, "grants": role.grants, "members": members}


def _holder_json(holder: str) -> dict[str, str]:
    return dict(zip(_HOLDER_FIELDS, json.loads(holder), strict=True))
