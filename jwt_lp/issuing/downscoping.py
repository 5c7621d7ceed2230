"""May a token be narrowed so?

The rules of downscoping (RFC 8693 leaves them to the issuer). A child holds nothing that its parent does not hold,
for an audience that the parent may reach, and says what it comes from. Each rule is a pure function of what was
verified; `PolicyError` says which one stands against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from jwt_lp.errors import InvalidToken, PolicyError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.tokens.claims import ROLE_SCOPE_CLAIM
from jwt_lp.tokens.delegation import MAX_DEPTH, actors

if TYPE_CHECKING:
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.claims import AccessToken

_SHOWN: Final = 8


class DownscopedGrants(NamedTuple):
    """What of its parent a child shall hold: direct grants, and what is held through a role alone, by role."""

    direct: tuple[str, ...]
    by_role: Mapping[str, tuple[str, ...]]

    @property
    def claims(self) -> dict[str, object]:
        """The claim that says which roles it goes with."""
        return (
            {ROLE_SCOPE_CLAIM: {role: " ".join(texts) for role, texts in self.by_role.items()}} if self.by_role else {}
        )


def join_names(texts: Iterable[str]) -> str:
    """The first of `texts` for a message, and how many there are besides."""
    listed = list(texts)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def downscope(
    parent: Permissions, asked: Sequence[str], actor: tuple[str, Permissions] | None = None
) -> DownscopedGrants:
    """What a child that is to hold `asked` takes from its parent.

    Each is a well-formed permission or pattern, and has to be contained in one grant of the parent, nothing of which
    was revoked, and in one of the actor's (its name, and what it holds itself).
    """
    direct: list[str] = []
    by_role: dict[str, list[str]] = {}
    lacking: list[str] = []
    for text in asked:
        # INVARIANT: nothing is handed on that one grant of the parent, every ceiling included, does not contain.
        holders = parent.grants_containing(text)
        if not holders:
            lacking.append(text)
        elif any(grant.role is None for grant in holders):
            direct.append(text)
        else:
            # Held through roles alone: what is taken from the role later is taken from the child as well.
            for role in dict.fromkeys(cast(str, grant.role) for grant in holders):
                by_role.setdefault(role, []).append(text)
    if lacking:
        before = parent.with_denials(())
        taken = [text for text in lacking if before.grants_containing(text)]
        raise PolicyError(
            f"{join_names(taken)} was revoked, as a whole or in part: leave it out, or ask for what is left of it"
            if taken
            else f"the token to be narrowed does not hold {join_names(lacking)}: request only what one of its grants contains",
            reason="scope",
        )
    if actor is not None:
        beyond = [text for text in asked if actor[1].find_containing(text) is None]
        if beyond:
            raise PolicyError(
                f"the client {actor[0]} has no grant of its own for {join_names(beyond)}: "
                f"add it under [clients.{actor[0]}] in the policy if it should have one",
                reason="scope",
            )
    return DownscopedGrants(tuple(direct), {role: tuple(texts) for role, texts in by_role.items()})


def find_actor(policy: Policy, name: str | None) -> tuple[str, Permissions] | None:
    """The client that acts, with what it holds itself; None where nobody does."""
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


def select_audience(policy: Policy, parents: Sequence[str], asked: str | None, actor: str | None) -> str:
    """The one audience of the child: one of the parent's, or one that the policy lets such a parent call.

    Where the actor is itself one of the parent's audiences, only that one's `may_call` counts.
    """
    if asked is None:
        if len(parents) == 1:
            return parents[0]
        raise PolicyError(f"the token is for {join_names(parents)}: name one audience", reason="target")
    callers = [actor] if actor is not None and (actor in parents or actor in policy.audiences) else parents
    if asked in parents or any(
        asked in policy.audiences[caller].may_call for caller in callers if caller in policy.audiences
    ):
        return asked
    raise PolicyError(
        f"a token for {join_names(callers)} may not be narrowed to one for {asked!a}: "
        "the policy has to allow it by may_call under [audiences]",
        reason="target",
    )


def lineage_claims(
    parent: AccessToken, claims: Mapping[str, object], *, own: bool, actor: str | None
) -> dict[str, object]:
    """The claims that say what a child of `parent` comes from, and who acts with it.

    `own` says that the parent is of the issuer that narrows it.
    """
    if parent.token_id is None:
        raise PolicyError(
            "the token to be narrowed has no id, so the tokens narrowed from it could not be revoked with it: "
            "have its issuer send jti",
            reason="lineage",
        )
    before = parent.lineage
    ids = [*(each for _, each in before.ancestors), parent.token_id] if before else [parent.token_id]
    earlier = _earlier_actors(claims.get("act"))
    # INVARIANT: who acts in another issuer's token is known by that issuer's name for them, and is no client of ours.
    named_so = earlier if own else [f"{parent.issuer_name}:{name}" for name in earlier]
    acting = [*([actor] if actor is not None else []), *named_so]
    if max(len(ids), len(acting)) > MAX_DEPTH:
        raise PolicyError(
            f"the token was narrowed {MAX_DEPTH} times already, or has {MAX_DEPTH} actors: "
            "narrow one of the tokens that it was narrowed from",
            reason="lineage",
        )
    clients = dict.fromkeys((*(before.clients if before else ()), *filter(None, (parent.client,))))
    lineage = {"iat": before.issued_at if before else parent.issued_at, "ids": ids, "clients": list(clients)}
    found: dict[str, object] = {"lineage": lineage}
    nested: dict[str, object] | None = None
    for name in reversed(acting):
        # RFC 8693, section 4.1: the current actor is the outermost.
        nested = {"sub": name} if nested is None else {"sub": name, "act": nested}
    if nested is not None:
        found["act"] = nested
    if not own:
        found["sub_id"] = {"format": "iss_sub", "iss": parent.issuer, "sub": parent.subject}
    elif "sub_id" in claims:
        found["sub_id"] = claims["sub_id"]
    return found


def _earlier_actors(act: object) -> list[str]:
    """Who acts with a token already. Of another issuer's actors only their names are kept."""
    try:
        return list(actors(act))
    except InvalidToken:
        raise PolicyError(
            "the act claim of the token to be narrowed is malformed, or has too many actors",
            reason="lineage",
        ) from None
