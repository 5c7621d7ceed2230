"""The rules of downscoping, which RFC 8693 leaves to the issuer.

A child token holds nothing that its parent does not hold, is for an audience that the parent may reach, and names its
ancestors. Each rule is a pure function of verified data, and raises `PolicyError` if the request breaks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from jwt_lp._support.validation import join_names
from jwt_lp.errors import InvalidToken, PolicyError
from jwt_lp.issuing.issuer_checks import is_text
from jwt_lp.permissions.grants import Permissions
from jwt_lp.tokens.claims import ROLE_SCOPE_CLAIM
from jwt_lp.tokens.delegation import MAX_DEPTH, MAX_TASK, actors

if TYPE_CHECKING:
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.claims import AccessToken


class DownscopedGrants(NamedTuple):
    """The grants of a child token: direct ones, and by role those that the parent holds through roles only."""

    direct: tuple[str, ...]
    by_role: Mapping[str, tuple[str, ...]]

    @property
    def claims(self) -> dict[str, object]:
        """The claim that holds the grants by role, if there are any."""
        return (
            {ROLE_SCOPE_CLAIM: {role: " ".join(texts) for role, texts in self.by_role.items()}} if self.by_role else {}
        )


def downscope(
    parent: Permissions, requested: Sequence[str], actor: tuple[str, Permissions] | None = None
) -> DownscopedGrants:
    """Return the grants of a child token that requests `requested` from its parent.

    Each is a well-formed permission or pattern. No part of it may be revoked, and it must be contained in one grant of
    the parent, and in one of the actor's (its name, and what it holds itself).
    """
    direct: list[str] = []
    by_role: dict[str, list[str]] = {}
    missing: list[str] = []
    for text in requested:
        # INVARIANT: the child holds only what one grant of the parent, within every ceiling, contains.
        holders = parent.grants_containing(text)
        if not holders:
            missing.append(text)
        elif any(grant.role is None for grant in holders):
            direct.append(text)
        else:
            # Held through roles only, so that a later revocation for the role applies to the child too. An elevation
            # counts only where nothing else confers the permission, because the child ends with it.
            standing = [grant for grant in holders if grant.elevation is None] or holders[:1]
            for role in dict.fromkeys(cast(str, grant.role) for grant in standing):
                by_role.setdefault(role, []).append(text)
    if missing:
        raise _not_held_error(parent, missing)
    if actor is not None:
        _check_actor(requested, *actor)
    return DownscopedGrants(tuple(direct), {role: tuple(texts) for role, texts in by_role.items()})


def _not_held_error(parent: Permissions, missing: Sequence[str]) -> PolicyError:
    without_denials = parent.with_denials(())
    revoked = [text for text in missing if without_denials.grants_containing(text)]
    return PolicyError(
        f"{join_names(revoked)} was revoked, in whole or in part: leave it out, or request what remains of it"
        if revoked
        else f"the token to be narrowed does not hold {join_names(missing)}: "
        "request only what one of its grants contains",
        reason="scope",
    )


def _check_actor(requested: Sequence[str], name: str, held: Permissions) -> None:
    """Refuse what the actor does not hold itself."""
    not_held = [text for text in requested if held.find_containing(text) is None]
    without_denials = held.with_denials(())
    revoked = [text for text in not_held if without_denials.find_containing(text) is not None]
    if revoked:
        raise PolicyError(
            f"{join_names(revoked)} was revoked from a role of the client {name}, in whole or in part: "
            "leave it out, or request what remains of it",
            reason="scope",
        )
    if not_held:
        raise PolicyError(
            f"the client {name} has no grant of its own for {join_names(not_held)}: "
            f"add it under [clients.{name}] in the policy if it should have one",
            reason="scope",
        )


def find_actor(policy: Policy, name: str | None) -> tuple[str, Permissions] | None:
    """Return the acting client and the permissions that it holds itself; None for no actor."""
    if name is None:
        return None
    client = policy.clients.get(name)
    if client is None:
        raise PolicyError(
            f"{name!a} is not a client of the policy, so it cannot act for others: add [clients.{name}] with its grants"
            if name.isprintable()
            else "the actor is not a client of the policy",
            reason="actor",
        )
    return name, Permissions.of([*client.grants, *policy.grants(client.roles)])


def select_audience(policy: Policy, parents: Sequence[str], requested: str | None, actor: str | None) -> str:
    """Return the one audience of the child: one of the parent's, or one that these may call by the policy.

    If the actor is one of the parent's audiences, or an audience of the policy, only its own `may_call` counts.
    """
    if requested is None:
        if len(parents) == 1:
            return parents[0]
        raise PolicyError(f"the token is for {join_names(parents)}: name one audience", reason="target")
    callers = [actor] if actor is not None and (actor in parents or actor in policy.audiences) else parents
    if requested in parents or any(
        requested in policy.audiences[caller].may_call for caller in callers if caller in policy.audiences
    ):
        return requested
    raise PolicyError(
        f"a token for {join_names(callers)} may not be narrowed to one for {requested!a}: "
        "the policy has to allow it by may_call under [audiences]",
        reason="target",
    )


def lineage_claims(
    parent: AccessToken, claims: Mapping[str, object], *, own: bool, actor: str | None, task: str | None = None
) -> dict[str, object]:
    """Return the claims that hold the lineage and the actors of a child of `parent`.

    `own` says that the parent was made by the issuer that downscopes it.
    """
    if parent.token_id is None:
        raise PolicyError(
            "the token to be narrowed has no id, so the tokens narrowed from it could not be revoked with it: "
            "have its issuer send jti",
            reason="lineage",
        )
    before = parent.lineage
    ids = [*(token_id for _, token_id in before.ancestors), parent.token_id] if before else [parent.token_id]
    earlier = _earlier_actors(claims.get("act"))
    # INVARIANT: an actor in another issuer's token gets that issuer's name as prefix, and is not a client of ours.
    earlier_names = earlier if own else [f"{parent.issuer_name}:{name}" for name in earlier]
    actor_names = [*([actor] if actor is not None else []), *earlier_names]
    if max(len(ids), len(actor_names)) > MAX_DEPTH:
        raise PolicyError(
            f"the token was narrowed {MAX_DEPTH} times already, or has {MAX_DEPTH} actors: "
            "narrow one of the tokens that it was narrowed from",
            reason="lineage",
        )
    clients = dict.fromkeys((*(before.clients if before else ()), *filter(None, (parent.client,))))
    lineage: dict[str, object] = {
        "iat": before.issued_at if before else parent.issued_at,
        "ids": ids,
        "clients": list(clients),
    }
    if before and before.elevations:
        lineage["elevations"] = [name for _, name in before.elevations]
    if named := _task(before.task if before else "", task):
        lineage["task"] = named
    result: dict[str, object] = {"lineage": lineage}
    nested: dict[str, object] | None = None
    for name in reversed(actor_names):
        # RFC 8693, section 4.1: the current actor is the outermost.
        nested = {"sub": name} if nested is None else {"sub": name, "act": nested}
    if nested is not None:
        result["act"] = nested
    if not own:
        result["sub_id"] = {"format": "iss_sub", "iss": parent.issuer, "sub": parent.subject}
    elif "sub_id" in claims:
        result["sub_id"] = claims["sub_id"]
    return result


def _task(before: str, task: str | None) -> str:
    """Return the name of the task of a child token; "" if it is for none."""
    if task is None:
        return before
    if not is_text(task) or len(task) > MAX_TASK:
        raise PolicyError(
            f"the task is a non-empty string of at most {MAX_TASK} printable characters", reason="lineage"
        )
    if before and task != before:
        raise PolicyError("the token is for another task: narrow the token that it was made from", reason="lineage")
    return task


def _earlier_actors(act: object) -> list[str]:
    """Return the names of the actors of the parent token."""
    try:
        return list(actors(act))
    except InvalidToken:
        raise PolicyError(
            "the act claim of the token to be narrowed is malformed, or has too many actors",
            reason="lineage",
        ) from None
