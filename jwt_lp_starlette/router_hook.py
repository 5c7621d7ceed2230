"""The hook around a router, which has each request authorised just before the router calls an endpoint."""

from __future__ import annotations

from typing import Any

from starlette.authentication import UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.routing import Router

from jwt_lp_starlette.principal import Credentials, Subject
from jwt_lp_starlette.request_context import RequestContext
from jwt_lp_starlette.route_reader import RouteRule
from jwt_lp_starlette.route_table import RouteTarget
from jwt_lp_starlette.scope import CONTEXT_KEY, NO_PARAMETERS, Scope, request_method


class RouterHook:
    """Wraps what a router calls, inside all middleware, and authorises what the router is about to call.

    Middleware of a mounted application may change the request's path after an outer decision. This hook decides again.
    """

    def __init__(self, router: Router, app: Any) -> None:
        self.router = router
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Authorise what the router will call, then call the router."""
        context = scope.get(CONTEXT_KEY)
        if isinstance(context, RequestContext) and scope["type"] != "lifespan":
            await self._authorize(context, scope)
        await self.app(scope, receive, send)

    async def _authorize(self, context: RequestContext, scope: Scope) -> None:
        if context.outer is not None:
            await self._authorize(context.outer, scope)
        table = next((table for table in context.tables if table.router is self.router), None)
        if table is None:
            # The router may belong to an application that was decided as a whole. Otherwise it is unknown: refuse.
            if context.decision is None:
                context.require_pass(scope, await context.decide(None, NO_PARAMETERS))
            return
        try:
            target = table.find(scope)
        except ValueError:
            # A convertor cannot parse the path, such as an int of thousands of digits.
            raise HTTPException(404) from None
        context.chain += target.chain
        context.tables = target.tables + context.tables
        if target.rule is not None:
            await _admit(context, target, target.rule, scope)
        elif target.allow is not None:
            # INVARIANT: older Starlette calls any attribute of an endpoint class that has the method's name.
            raise HTTPException(405, headers={"Allow": ", ".join(target.allow)})


async def _admit(context: RequestContext, target: RouteTarget, rule: RouteRule, scope: Scope) -> None:
    """Decide about the target before any of its code runs; raises the refusal."""
    requirement = rule.route.requirement
    context.label = f"{request_method(scope)} {rule.route.template}"
    context.endpoint = rule.route.endpoint
    decision = context.memo.find(requirement, target.params)
    if decision is None:
        # INVARIANT: the whole is the all-of of its parts, so if it passes, each part passes.
        decision = context.memo.keep(rule.parts, target.params, await context.decide(requirement, target.params))
    context.decision = context.require_pass(scope, decision)
    if decision.token is not None or "auth" not in scope:
        scope["auth"] = Credentials(context.guard, decision.token)
        scope["user"] = UnauthenticatedUser() if decision.token is None else Subject(decision.token)


def install_hook(router: Router) -> bool:
    """Put a `RouterHook` around what `router` does; False if the router's middleware makes that impossible."""
    holder: Any = router
    name = "middleware_stack"
    while (app := getattr(holder, name, None)) is not None and not isinstance(app, RouterHook):
        if getattr(app, "__self__", None) is router:
            setattr(holder, name, RouterHook(router, app))
            return True
        holder, name = app, "app"
    return app is not None
