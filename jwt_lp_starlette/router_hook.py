"""The hook around a router, which has each request authorised just before the router calls an endpoint."""

from __future__ import annotations

from typing import Any

from starlette.authentication import UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.routing import Router

from jwt_lp_starlette.dispatch import NarrowedRouter, framework_function
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
        self._function = framework_function(app)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Authorise what the router will call, then have the router call it."""
        context = scope.get(CONTEXT_KEY)
        target = None
        if isinstance(context, RequestContext) and scope["type"] != "lifespan":
            target = await self._authorize(context, scope)
        if target is None or self._function is None:
            await self.app(scope, receive, send)
        else:
            # INVARIANT: the router gets no route that matches, except the one that was decided about.
            scope.setdefault("router", self.router)
            await self._function(NarrowedRouter(self.router, target.routes), scope, receive, send)

    async def _authorize(self, context: RequestContext, scope: Scope) -> RouteTarget | None:
        """Decide about what the router will call; None if this router is part of what was decided about already."""
        if context.outer is not None:
            await self._authorize(context.outer, scope)
        table = context.table_of(self.router)
        if table is None:
            # The router may belong to an application that was decided as a whole. Otherwise it is unknown: refuse.
            if context.decision is None:
                context.require_pass(scope, await context.decide(None, NO_PARAMETERS))
            return None
        try:
            target = table.find(scope)
        except ValueError:
            # A convertor cannot parse the path, such as an int of thousands of digits.
            raise HTTPException(404) from None
        context.chain += target.chain
        context.tables = (*target.tables, *context.tables)
        if target.rule is not None:
            await _admit(context, target, target.rule, scope)
        elif target.allow is not None:
            # INVARIANT: older Starlette calls any attribute of an endpoint class that has the method's name.
            raise HTTPException(405, headers={"Allow": ", ".join(target.allow)})
        return target


async def _admit(context: RequestContext, target: RouteTarget, rule: RouteRule, scope: Scope) -> None:
    """Decide about the target before any of its code runs; raises the refusal."""
    route, params = rule.route, target.params
    context.label, context.endpoint = f"{request_method(scope)} {route.template}", route.endpoint
    # The first decision of a request cannot have been made before.
    decision = None if context.decision is None else context.memo.find(route.requirement, params)
    if decision is None:
        decision = context.ask(route.requirement, params)
        if decision.pending:
            decision = await context.wait_for(route.requirement, params)
    # INVARIANT: the whole is the all-of of its parts, so if it passes, each part passes.
    context.admit(scope, rule.parts, params, decision)
    token = decision.token
    if token is not None or "auth" not in scope:
        scope["auth"] = Credentials(context.guard, token)
        scope["user"] = UnauthenticatedUser() if token is None else Subject(token)


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
