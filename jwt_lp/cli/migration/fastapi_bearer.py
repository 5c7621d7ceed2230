"""Rewrites for FastAPI with a dependency of the project's own that reads a bearer token (`OAuth2PasswordBearer`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import libcst as cst
import libcst.matchers as m

from jwt_lp.cli.migration.bearer_readers import BearerReader, find_readers
from jwt_lp.cli.migration.fastapi_setup import FastApiRewriter, annotated_items, scopes_argument, scopes_of
from jwt_lp.cli.migration.rewriter import keyword, line_break, parameters, replace_element, text_of

if TYPE_CHECKING:
    from libcst.codemod import CodemodContext

    from jwt_lp.cli.migration.rewriter import Project

_VERBS: Final = frozenset(
    {"get", "post", "put", "patch", "delete", "head", "options", "trace", "api_route", "websocket"}
)
_DECODE: Final = frozenset({"jwt.decode", "jwt.api_jwt.decode", "jose.jwt.decode"})
_SETTINGS: Final = """\
JWT_LP = {{
    "ISSUER": "before",
    "AUDIENCE": "before",
    "ALGORITHMS": {algorithms},
    "JWKS": {{"kty": "oct", "k": urlsafe_b64encode({secret}.encode()).rstrip(b"=").decode()}},
    "PROFILE": {{"CEILING": [], "TYPES": ["JWT"], "REQUIRED": ["scope"]}},
    "ABSENT_CLAIMS": ["iss", "aud"],
}}
"""


class FastApiBearer(FastApiRewriter):
    """Rewrites the routes of a project whose own dependency reads the token.

    A route that depends on it declares the scopes that it required. The dependency itself stays, and goes on checking
    the token until a person replaces it.
    """

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context, project)
        self._readers = find_readers(project.texts)
        self.uses_library: bool = bool(self._readers)
        self._route = False

    def visit_Module(self, node: cst.Module) -> None:
        for found in m.findall(node, m.Call()):
            call = cst.ensure_type(found, cst.Call)
            if self.name_of(call.func) in _DECODE and self.uses_library:
                self._found_decode(node, call)

    def _found_decode(self, module: cst.Module, call: cst.Call) -> None:
        secret = keyword(call, "key") or _by_position(call, 1)
        algorithms = keyword(call, "algorithms") or _by_position(call, 2)
        known = _module_names(module)
        if secret is not None and algorithms is not None and _names(secret) | _names(algorithms) <= known:
            self.settings: str = _SETTINGS.format(
                algorithms=module.code_for_node(algorithms), secret=module.code_for_node(secret)
            )
            self.settings_imports: tuple[tuple[str, str], ...] = (("base64", "urlsafe_b64encode"),)
        self.decide(
            call,
            "this checks the token a second time: let the function depend on Requires(AUTHENTICATED) instead, and read "
            "token.subject",
        )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool | None:
        self._route = any(_is_route(decorator.decorator) for decorator in node.decorators) and not self._declared(node)
        return super().visit_FunctionDef(node)

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        updated_node = super().leave_FunctionDef(original_node, updated_node)
        route = any(_is_route(decorator.decorator) for decorator in original_node.decorators)
        if not route or self._declared(original_node):
            return updated_node
        scopes: list[cst.BaseExpression] = []
        found = False
        for param in parameters(original_node):
            dependency = self.parameter_dependency(param)
            alias = self._alias(param)
            required = self._allowed(alias, [], param) if alias is not None else self._required(dependency)
            if required is not None:
                found = True
                scopes += required
            elif alias is not None or (dependency is not None and self._reader(dependency) is not None):
                return updated_node
        if not found:
            return updated_node
        return updated_node.with_changes(
            decorators=[
                _with_dependency(decorator, self.requires(_distinct(scopes)))
                if _is_route(decorator.decorator)
                else decorator
                for decorator in updated_node.decorators
            ]
        )

    def leave_Param(self, original_node: cst.Param, updated_node: cst.Param) -> cst.Param:
        """`Security(f, scopes=[...])` of a route becomes `Depends(f)`, because the declaration has the scopes."""
        found = self.parameter_dependency(original_node)
        if not self._route or found is None or self._required(found) is None:
            return updated_node
        plain = self._plain(found)
        if found is original_node.default:
            return updated_node.with_changes(default=plain)
        subscript: Any = cst.ensure_type(updated_node.annotation, cst.Annotation).annotation
        slices = list(subscript.slice)
        index = annotated_items(original_node).index(found)
        slices[index] = slices[index].with_changes(slice=cst.Index(plain))
        return updated_node.with_changes(annotation=cst.Annotation(subscript.with_changes(slice=slices)))

    def replacement(self, node: cst.BaseExpression) -> list[cst.BaseExpression] | None:
        dependency = self.dependency(node)
        scopes = self._required(dependency)
        return None if dependency is None or scopes is None else [self.requires(scopes), self._plain(dependency)]

    def _plain(self, dependency: cst.Call) -> cst.Call:
        if scopes_argument(dependency, 1) is None:
            return dependency
        self.add_import("fastapi", "Depends")
        self.may_remove_import("fastapi", "Security")
        return cst.Call(cst.Name("Depends"), [dependency.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)])

    def _reader(self, dependency: cst.Call) -> BearerReader | None:
        target = dependency.args[0].value
        name = target.attr.value if isinstance(target, cst.Attribute) else getattr(target, "value", "")
        return self._readers.get(name) if isinstance(name, str) else None

    def _required(self, dependency: cst.Call | None) -> list[cst.BaseExpression] | None:
        """The scopes that a dependency on the token requires; None for any other, and for what a person must decide."""
        reader = self._reader(dependency) if dependency is not None else None
        if dependency is None or reader is None:
            return None
        return self._allowed(reader, scopes_of(scopes_argument(dependency, 1)), dependency)

    def _alias(self, param: cst.Param) -> BearerReader | None:
        """What the name of an annotation stands for, as in `user: CurrentUser`."""
        annotation = param.annotation.annotation if param.annotation is not None else None
        if isinstance(annotation, cst.Attribute):
            return self._readers.get(annotation.attr.value)
        return self._readers.get(annotation.value) if isinstance(annotation, cst.Name) else None

    def _allowed(
        self, reader: BearerReader, own: list[cst.BaseExpression] | None, node: cst.CSTNode
    ) -> list[cst.BaseExpression] | None:
        """The scopes of a dependency and its own; None if a person must decide."""
        if own is None or reader.scopes is None or any(text_of(scope) is None for scope in own):
            self.decide(node, "these scopes are computed: write Requires(...) with the permissions themselves")
            return None
        if reader.optional:
            self.decide(
                node, "the token is optional here (auto_error=False): write @public(identify=True) if that is meant"
            )
            return None
        inherited: list[cst.BaseExpression] = [cst.SimpleString(f'"{scope}"') for scope in reader.scopes]
        return _distinct([*inherited, *own])

    def _declared(self, node: cst.FunctionDef) -> bool:
        """Whether one of our declarations is there already."""
        for decorator in node.decorators:
            target = decorator.decorator
            if self.name_of(target.func if isinstance(target, cst.Call) else target).startswith("jwt_lp_starlette."):
                return True
            if any(self.is_requires(found) for found in m.findall(decorator, m.Call())):
                return True
        return any(self.is_requires(found) for found in m.findall(node.params, m.Call()))


def _is_route(node: cst.BaseExpression) -> bool:
    func = node.func if isinstance(node, cst.Call) else None
    return isinstance(func, cst.Attribute) and func.attr.value in _VERBS


def _with_dependency(decorator: cst.Decorator, requires: cst.Call) -> cst.Decorator:
    call = cst.ensure_type(decorator.decorator, cst.Call)
    for index, arg in enumerate(call.args):
        if arg.keyword is not None and arg.keyword.value == "dependencies" and isinstance(arg.value, cst.List):
            items = arg.value.elements
            value = (
                replace_element(arg.value, 0, requires, items[0].value) if items else cst.List([cst.Element(requires)])
            )
            args = [*call.args[:index], arg.with_changes(value=value), *call.args[index + 1 :]]
            return decorator.with_changes(decorator=call.with_changes(args=args))
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    new = cst.Arg(cst.List([cst.Element(requires)]), cst.Name("dependencies"), tight)
    args = [*call.args, new]
    if call.args:
        opening, last = call.whitespace_before_args, call.args[-1]
        ending = last.comma.whitespace_after if isinstance(last.comma, cst.Comma) else None
        if isinstance(opening, cst.ParenthesizedWhitespace) and isinstance(ending, cst.ParenthesizedWhitespace):
            # A comment after the last argument stays with it.
            comma = cst.Comma(whitespace_after=ending.with_changes(last_line=opening.last_line))
            new = new.with_changes(comma=cst.Comma(whitespace_after=line_break(ending)))
        else:
            comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        args = [*call.args[:-1], last.with_changes(comma=comma), new]
    return decorator.with_changes(decorator=call.with_changes(args=args))


def _distinct(scopes: list[cst.BaseExpression]) -> list[cst.BaseExpression]:
    return list({text_of(scope): scope for scope in scopes}.values())


def _by_position(call: cst.Call, index: int) -> cst.BaseExpression | None:
    plain = len(call.args) > index and call.args[index].keyword is None
    return call.args[index].value if plain else None


def _names(node: cst.BaseExpression) -> set[str]:
    """The names that an expression begins with; attributes of them do not count."""
    attributes = {id(cst.ensure_type(found, cst.Attribute).attr) for found in m.findall(node, m.Attribute())}
    return {
        cst.ensure_type(found, cst.Name).value for found in m.findall(node, m.Name()) if id(found) not in attributes
    }


def _module_names(module: cst.Module) -> set[str]:
    """The names that the module's own statements assign or import."""
    names: set[str] = set()
    for line in module.body:
        for statement in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(statement, (cst.Assign, cst.AnnAssign)):
                targets = (
                    [t.target for t in statement.targets] if isinstance(statement, cst.Assign) else [statement.target]
                )
                names |= {target.value for target in targets if isinstance(target, cst.Name)}
            elif isinstance(statement, (cst.Import, cst.ImportFrom)) and not isinstance(
                statement.names, cst.ImportStar
            ):
                names |= {_bound_name(alias) for alias in statement.names}
    return names


def _bound_name(alias: cst.ImportAlias) -> str:
    return alias.evaluated_alias or alias.evaluated_name.partition(".")[0]
