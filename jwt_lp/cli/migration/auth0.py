"""Rewrites for Auth0's SDK for FastAPI: `require_auth`, and the claims that it returns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ExpressionContext, ExpressionContextProvider, ProviderT

from jwt_lp.cli.migration.fastapi_setup import FastApiRewriter, annotated_items, assigned, scopes_argument, scopes_of
from jwt_lp.cli.migration.rewriter import keyword, parameters, text_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from libcst.codemod import CodemodContext

    from jwt_lp.cli.migration.rewriter import Project

_SDK: Final = ("fastapi_plugin.Auth0FastAPI", "fastapi_plugin.fast_api_client.Auth0FastAPI")
_SETTINGS: Final = """\
JWT_LP = {{
    "ISSUER": {issuer},
    "AUDIENCE": {audience},
    "ALGORITHMS": ["RS256"],
    "DISCOVERY": True,
    "PROFILE": "auth0",
}}
"""


class Auth0(FastApiRewriter):
    """Rewrites a module that uses `require_auth` of an `Auth0FastAPI`.

    The dependency becomes `Requires`. A parameter for the claims gets the token: `claims["sub"]` becomes
    `claims.subject`, and any other use `claims.claims`.
    """

    METADATA_DEPENDENCIES: ClassVar[Collection[ProviderT]] = (ExpressionContextProvider,)

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context, project)
        self._clients = {
            name
            for text in project.texts
            for name in re.findall(r"^(\w+)(?:\s*:[^=\n]+)?\s*=\s*Auth0FastAPI\(", text, re.MULTILINE)
        }
        self._keywords: set[cst.Name] = set()
        # Parameters that stay as they are.
        self._left: set[cst.Param] = set()
        # Of each open function: the parameters that hold claims.
        self._claims: list[frozenset[str]] = []

    def visit_Module(self, node: cst.Module) -> None:
        for line in node.body:
            name, value = assigned(line) if isinstance(line, cst.SimpleStatementLine) else ("", None)
            if name and isinstance(value, cst.Call) and self.is_call(value, *_SDK):
                self._set_up(node, line, name, value)

    def _set_up(self, module: cst.Module, line: Any, name: str, value: cst.Call) -> None:
        if self.project.mentions("JWT_LP"):
            return
        domain, audience = keyword(value, "domain"), keyword(value, "audience")
        if domain is None or audience is None:
            self.decide(line, "Auth0FastAPI without domain or audience: write JWT_LP by hand, with ISSUERS for several")
            return
        self.settings = _SETTINGS.format(issuer=_issuer(module, domain), audience=module.code_for_node(audience))
        self.settings_after = line
        # Another use than `name.require_auth` needs it still, here or in another module.
        names = m.findall(module, m.Name(name))
        calls = m.findall(module, m.Call(m.Attribute(m.Name(name), m.Name("require_auth"))))
        elsewhere = sum(bool(re.search(rf"\b{name}\b", text)) for text in self.project.texts)
        self.settings_replace = len(names) == len(calls) + 1 and elsewhere == 1
        if self.settings_replace:
            self.may_remove_import("fastapi_plugin", "Auth0FastAPI")

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool | None:
        bound = self._bound_names(node.body)
        for param in parameters(node):
            if param.name.value in bound and self._required(self.parameter_dependency(param)) is not None:
                self._left.add(param)
                self.decide(param, f"{param.name.value} is bound again below: write Requires(...), and read the token")
        return super().visit_FunctionDef(node)

    def visit_FunctionDef_body(self, node: cst.FunctionDef) -> None:
        names = {
            param.name.value
            for param in parameters(node)
            if param not in self._left and self._required(self.parameter_dependency(param)) is not None
        }
        inherited = self._claims[-1] if self._claims else frozenset[str]()
        self._claims.append((inherited - {param.name.value for param in parameters(node)}) | names)

    def leave_FunctionDef_body(self, node: cst.FunctionDef) -> None:
        self._claims.pop()

    def leave_Param(self, original_node: cst.Param, updated_node: cst.Param) -> cst.Param:
        found = self.parameter_dependency(original_node)
        scopes = self._required(found)
        if found is None or scopes is None or original_node in self._left:
            return updated_node
        self.add_import("jwt_lp", "AccessToken")
        requires = self.requires(scopes)
        token = cst.Name("AccessToken")
        if found is original_node.default:
            return updated_node.with_changes(annotation=cst.Annotation(token), default=requires)
        subscript: Any = cst.ensure_type(updated_node.annotation, cst.Annotation).annotation
        slices = list(subscript.slice)
        index = annotated_items(original_node).index(found)
        slices[0] = slices[0].with_changes(slice=cst.Index(token))
        slices[index] = slices[index].with_changes(slice=cst.Index(requires))
        return updated_node.with_changes(annotation=cst.Annotation(subscript.with_changes(slice=slices)))

    def replacement(self, node: cst.BaseExpression) -> list[cst.BaseExpression] | None:
        scopes = self._required(self.dependency(node))
        return None if scopes is None else [self.requires(scopes)]

    def visit_Call(self, node: cst.Call) -> None:
        if self.dependency(node) is not None or not self._is_require_auth(node):
            return
        scopes = scopes_of(scopes_argument(node, 0))
        if scopes is None:
            self.decide(node, "these scopes are computed: write Requires(...) with the permissions themselves")

    def _is_require_auth(self, node: cst.BaseExpression) -> bool:
        func = node.func if isinstance(node, cst.Call) else None
        return (
            isinstance(func, cst.Attribute)
            and func.attr.value == "require_auth"
            and isinstance(func.value, cst.Name)
            and func.value.value in self._clients
        )

    def _required(self, found: cst.Call | None) -> list[cst.BaseExpression] | None:
        """The scopes that a dependency on `require_auth` asks for; None for any other dependency."""
        inner = found.args[0].value if found is not None else None
        if not isinstance(inner, cst.Call) or not self._is_require_auth(inner):
            return None
        self.may_remove_import("fastapi", "Depends")
        self.may_remove_import("fastapi", "Security")
        return scopes_of(scopes_argument(inner, 0))

    def leave_Subscript(self, original_node: cst.Subscript, updated_node: cst.Subscript) -> cst.BaseExpression:
        """`claims["sub"]` is the token's subject."""
        index = original_node.slice[0].slice if len(original_node.slice) == 1 else None
        key = text_of(index.value) if isinstance(index, cst.Index) else None
        if key == "sub" and self._is_claims(original_node.value):
            return cst.Attribute(cst.ensure_type(original_node.value, cst.Name), cst.Name("subject"))
        return updated_node

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword is not None:
            # The name of an argument, which libcst counts among the names that are read.
            self._keywords.add(node.keyword)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        read = self.get_metadata(ExpressionContextProvider, original_node, None) is ExpressionContext.LOAD
        if read and self._is_claims(original_node) and original_node not in self._keywords:
            return cst.Attribute(updated_node, cst.Name("claims"))
        return updated_node

    def _bound_names(self, body: cst.BaseSuite) -> set[str]:
        """Names that are assigned, deleted or parameters anywhere in `body`."""
        names = [node for node in m.findall(body, m.Name()) if isinstance(node, cst.Name)]
        changed = {ExpressionContext.STORE, ExpressionContext.DEL}
        bound = {name.value for name in names if self.get_metadata(ExpressionContextProvider, name, None) in changed}
        return bound | {cst.ensure_type(found, cst.Param).name.value for found in m.findall(body, m.Param())}

    def _is_claims(self, node: cst.BaseExpression) -> bool:
        return isinstance(node, cst.Name) and bool(self._claims) and node.value in self._claims[-1]


def _issuer(module: cst.Module, domain: cst.BaseExpression) -> str:
    literal = text_of(domain)
    if literal is not None:
        return f'"https://{literal.strip().lower()}/"'
    code = module.code_for_node(domain)
    return f'f"https://{{{code}}}/"' if isinstance(domain, cst.Name) else f'"https://" + ({code}) + "/"'
