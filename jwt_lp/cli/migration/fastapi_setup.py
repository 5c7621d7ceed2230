"""Where a FastAPI application gets its guard, and what both of its rewriters share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import libcst as cst

from jwt_lp.cli.migration.rewriter import Rewriter, call, elements, keyword, replace_element, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcst.codemod import CodemodContext

    from jwt_lp.cli.migration.rewriter import Project

_APP: Final = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
DEPENDS: Final = tuple(
    f"{module}.{name}"
    for module in ("fastapi", "fastapi.params", "fastapi.param_functions")
    for name in ("Depends", "Security")
)
REQUIRES: Final = "jwt_lp_starlette.fastapi.Requires"


class FastApiRewriter(Rewriter):
    """Adds the guard to the application that a module makes, if it has none, and finds dependencies."""

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context, project)
        # The settings to add, as source text, and the assignment that they follow or replace; by default they come last.
        self.uses_library = True
        self.settings = ""
        self.settings_imports: tuple[tuple[str, str], ...] = ()
        self.settings_after: cst.SimpleStatementLine | None = None
        self.settings_replace = False
        self._app: cst.SimpleStatementLine | None = None
        self._depth = 0
        self._guarded = project.mentions("jwt_lp_starlette", "LeastPrivilege(")

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool | None:
        self._depth += 1
        return None

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self._depth -= 1
        return updated_node

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        name, value = assigned(node)
        if not name or not self.is_call(value, *_APP) or self._guarded or not self.uses_library:
            return
        if self._depth == 0:
            self._app = node
        else:
            self.decide(node, f"write JWT_LP, and after all routes, in this function, LeastPrivilege({name}, JWT_LP)")

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        if self._guarded or self.settings_after is not original_node:
            return updated_node
        added = cst.parse_module(self.settings).body
        if not self.settings_replace:
            return cst.FlattenSentinel([updated_node, *added])
        first = cst.ensure_type(added[0], cst.SimpleStatementLine)
        return cst.FlattenSentinel([first.with_changes(leading_lines=updated_node.leading_lines), *added[1:]])

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        if self._guarded or self._app is None or not self.uses_library:
            return updated_node
        name, _ = assigned(self._app)
        if not self.settings:
            self.decide(self._app, f"write JWT_LP, and after all routes LeastPrivilege({name}, JWT_LP)")
            return updated_node
        self.decide(self._app, "check JWT_LP: its issuer, keys and profile are those of the tokens that are in use")
        for module, imported in (("jwt_lp_starlette", "LeastPrivilege"), *self.settings_imports):
            self.add_import(module, imported)
        settings = "" if self.settings_after is not None else self.settings
        added = list(cst.parse_module(f"{settings}LeastPrivilege({name}, JWT_LP)\n").body)
        blank = cst.EmptyLine(indent=False)
        added[0] = added[0].with_changes(leading_lines=[blank, blank])
        body = list(updated_node.body)
        last = len(body) - (1 if body and _is_main(body[-1]) else 0)
        return updated_node.with_changes(body=[*body[:last], *added, *body[last:]])

    def is_requires(self, node: cst.CSTNode | None) -> bool:
        """Whether it is a call of our `Requires`."""
        return self.is_call(node, REQUIRES)

    def requires(self, scopes: Sequence[cst.BaseExpression]) -> cst.Call:
        """`Requires` with these scopes; without one, any valid token will do."""
        self.add_import("jwt_lp_starlette.fastapi", "Requires")
        if not scopes:
            self.add_import("jwt_lp", "AUTHENTICATED")
        return call("Requires", scopes or [cst.Name("AUTHENTICATED")])

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        """Replace dependencies in a list `dependencies=[...]`."""
        name = original_node.keyword.value if original_node.keyword is not None else ""
        items = elements(original_node.value) if name == "dependencies" else None
        if not items or any(map(self.is_requires, items)):
            return updated_node
        value: Any = updated_node.value
        for index in reversed(range(len(items))):
            replacement = self.replacement(items[index])
            if replacement is not None:
                value = replace_element(value, index, *replacement)
        return updated_node.with_changes(value=value)

    def replacement(self, node: cst.BaseExpression) -> list[cst.BaseExpression] | None:
        """What replaces a dependency in a list; None if it stays."""
        raise NotImplementedError

    def dependency(self, node: cst.BaseExpression | None) -> cst.Call | None:
        """`Depends(f)` or `Security(f, ...)`, otherwise None."""
        return node if isinstance(node, cst.Call) and self.is_call(node, *DEPENDS) and node.args else None

    def parameter_dependency(self, param: cst.Param) -> cst.Call | None:
        """The dependency of a parameter, from its default or from `Annotated`."""
        if (found := self.dependency(param.default)) is not None:
            return found
        for item in annotated_items(param):
            if (found := self.dependency(item)) is not None:
                return found
        return None


def annotated_items(param: cst.Param) -> list[cst.BaseExpression]:
    """The expressions in the parameter's `Annotated[...]`."""
    annotation = param.annotation.annotation if param.annotation is not None else None
    if not isinstance(annotation, cst.Subscript):
        return []
    items = [item.slice.value for item in annotation.slice if isinstance(item.slice, cst.Index)]
    name = annotation.value
    last = name.attr.value if isinstance(name, cst.Attribute) else name.value if isinstance(name, cst.Name) else ""
    return items if last == "Annotated" else []


def assigned(line: cst.SimpleStatementLine) -> tuple[str, cst.BaseExpression | None]:
    """Name and value of a plain assignment to one name; otherwise "" and None."""
    statement = line.body[0] if len(line.body) == 1 else None
    if isinstance(statement, cst.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0].target, statement.value
    elif isinstance(statement, cst.AnnAssign) and statement.value is not None:
        target, value = statement.target, statement.value
    else:
        return "", None
    return (target.value, value) if isinstance(target, cst.Name) else ("", None)


def scopes_of(value: cst.BaseExpression | None) -> list[cst.BaseExpression] | None:
    """The scopes in `"one"` or `["one", "two"]`; None if they cannot be read there."""
    if value is None or (isinstance(value, cst.Name) and value.value == "None"):
        return []
    if text_of(value) is not None:
        return [value] if text_of(value) else []
    return elements(value)


def scopes_argument(node: cst.Call, position: int) -> cst.BaseExpression | None:
    """The argument `scopes`, by keyword or by position."""
    found = keyword(node, "scopes")
    if found is None and len(node.args) > position and node.args[position].keyword is None:
        return node.args[position].value
    return found


def _is_main(statement: cst.BaseStatement) -> bool:
    test = statement.test if isinstance(statement, cst.If) else None
    return isinstance(test, cst.Comparison) and isinstance(test.left, cst.Name) and test.left.value == "__name__"
