"""Rewrites for Flask-JWT-Extended: `jwt_required` and what reads its token, and `JWTManager`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import libcst as cst

from jwt_lp.cli.migration.rewriter import Rewriter, elements, is_true, keyword, keywords, replace_element

if TYPE_CHECKING:
    from libcst.codemod import CodemodContext

    from jwt_lp.cli.migration.rewriter import Project

_LIBRARY: Final = "flask_jwt_extended"
_REQUIRED: Final = (f"{_LIBRARY}.jwt_required", f"{_LIBRARY}.view_decorators.jwt_required")
_MANAGER: Final = (f"{_LIBRARY}.JWTManager", f"{_LIBRARY}.jwt_manager.JWTManager")
_REFRESH: Final = "a refresh token, which jwt_required checks"

_SETUP: Final = """\
{app}.config["JWT_LP"] = {{
    "ISSUER": {app}.config["JWT_ENCODE_ISSUER"] or "flask-jwt-extended",
    "AUDIENCE": {app}.config["JWT_ENCODE_AUDIENCE"] or "flask-jwt-extended",
    "ALGORITHMS": [{app}.config["JWT_ALGORITHM"]],
    "JWKS": {{
        "kty": "oct",
        "alg": {app}.config["JWT_ALGORITHM"],
        "k": urlsafe_b64encode({app}.config["JWT_SECRET_KEY"].encode()).rstrip(b"=").decode(),
    }},
    "PROFILE": "flask-jwt-extended",
    "ABSENT_CLAIMS": ["iss", "aud"],
}}
LeastPrivilege({app})
"""

# What a person has to look at, by the name that is used.
_NOTES: Final = {
    "current_user": "current_user of Flask-JWT-Extended is not set any more: look the user up by current_token.subject",
    "get_current_user": "get_current_user() has no user any more: look the user up by current_token.subject",
    "verify_jwt_in_request": "verify_jwt_in_request() still reads the old way: declare the views that it protects",
    "get_jwt_header": "get_jwt_header(): the guard keeps no header of a token; use current_token.claims if they will do",
}
_LOADERS: Final = {
    "token_in_blocklist_loader": "because of this blocklist jwt_required() stays: STORE and `jwt-lp revoke token` replace it",
    "token_verification_loader": "because of this check jwt_required() stays",
    "user_lookup_loader": "the user loader is no longer called: look the user up by current_token.subject",
    "additional_claims_loader": "claims of the application: permissions in the claim scope become grants",
}


class FlaskJwtExtended(Rewriter):
    """Rewrites a module that uses Flask-JWT-Extended.

    `jwt_required()` becomes `authenticated`, with `optional=True` `public(identify=True)`. Where it checks what the
    guard does not (`refresh`, `fresh`), it stays below a declaration. No view without it is declared.
    """

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context, project)
        # Of each open function: whether the guard keeps a token for it, and whether there may be none; None: neither.
        self._modes: list[str | None] = []
        self._guarded = project.mentions("jwt_lp_flask", "LeastPrivilege(")
        # INVARIANT: what a check of the project's own refuses stays refused, so `jwt_required` stays where there is one.
        self._keep = any(map(project.mentions, ("token_in_blocklist_loader", "token_verification_loader")))

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        modes = [self._mode(decorator.decorator) for decorator in node.decorators]
        inherited = self._modes[-1] if self._modes else None
        self._modes.append(next((mode for mode in modes if mode is not None), inherited))

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._modes.append(None)
        for statement in node.body.body:
            for call in _decorators_of(statement):
                self._modes[-1] = self._mode(call) or self._modes[-1]

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        self._modes.pop()
        return updated_node

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self._modes.pop()
        declared = any(self._is_declaration(decorator.decorator) for decorator in original_node.decorators)
        decorators: list[cst.Decorator] = []
        for before, after in zip(original_node.decorators, updated_node.decorators, strict=True):
            replacement = self._replacement(before.decorator)
            if replacement is None:
                decorators.append(after)
            elif replacement[1]:
                # It stays, below a declaration.
                new = cst.Decorator(cst.parse_expression(replacement[0]))
                decorators += (
                    [after] if declared else [new.with_changes(leading_lines=after.leading_lines), _bare(after)]
                )
                if not declared:
                    self._uses(replacement[0])
            else:
                decorators.append(after.with_changes(decorator=cst.parse_expression(replacement[0])))
                self._uses(replacement[0])
        return updated_node.with_changes(decorators=decorators)

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign:
        if not _is_decorators(original_node):
            return updated_node
        value: Any = updated_node.value
        for index, element in enumerate(elements(original_node.value) or ()):
            replacement = self._replacement(element)
            if replacement is not None and not replacement[1]:
                value = replace_element(value, index, cst.parse_expression(replacement[0]))
                self._uses(replacement[0])
            elif replacement is not None and not any(map(self._is_declaration, elements(original_node.value) or ())):
                value = replace_element(value, index, element, cst.parse_expression(replacement[0]))
                self._uses(replacement[0])
        return updated_node.with_changes(value=value)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        name = self.name_of(original_node.func).removeprefix(f"{_LIBRARY}.").removeprefix("utils.")
        mode = self._modes[-1] if self._modes else None
        attribute = {"get_jwt_identity": "subject", "get_jwt": "claims"}.get(name)
        if attribute is None or original_node.args:
            return updated_node
        if mode is None:
            if not self._in_kept():
                self.decide(original_node, f"{name}() outside a view with jwt_required: use current_token.{attribute}")
            return updated_node
        if mode == "kept":
            return updated_node
        self.add_import("jwt_lp_flask", "current_token")
        self.may_remove_import(_LIBRARY, name)
        other = {"subject": "None", "claims": "{}"}[attribute]
        text = f"current_token.{attribute}"
        return cst.parse_expression(f"({text} if current_token else {other})" if mode == "optional" else text)

    def _in_kept(self) -> bool:
        return "kept" in self._modes

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Name(self, node: cst.Name) -> None:
        note = _NOTES.get(self.name_of(node).removeprefix(f"{_LIBRARY}.").removeprefix("utils."))
        if note is not None:
            self.decide(node, note)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        note = _LOADERS.get(node.attr.value)
        if note is not None:
            self.decide(node, note)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        app = self._initialised(original_node.body[0]) if len(original_node.body) == 1 else None
        if app is None or self._guarded:
            return updated_node
        self._guarded = True
        self.add_import("base64", "urlsafe_b64encode")
        self.add_import("jwt_lp_flask", "LeastPrivilege")
        config = cst.Module([]).code_for_node(app)
        self.decide(
            original_node,
            f"the guard of {config}: check JWT_LP; with an asymmetric JWT_ALGORITHM, put the public key into JWKS; "
            "with tokens in cookies or query strings, see the guide",
        )
        setup = cst.parse_module(_SETUP.format(app=config)).body
        return cst.FlattenSentinel([updated_node, *setup])

    def _initialised(self, statement: cst.BaseSmallStatement) -> cst.BaseExpression | None:
        """The application in `JWTManager(app)` or `jwt.init_app(app)`."""
        value = statement.value if isinstance(statement, (cst.Assign, cst.Expr)) else None
        if not isinstance(value, cst.Call) or len(value.args) != 1 or value.args[0].star:
            return None
        func = value.func
        by_method = (
            isinstance(func, cst.Attribute)
            and func.attr.value == "init_app"
            and isinstance(func.value, cst.Name)
            and "jwt" in func.value.value.lower()
        )
        return value.args[0].value if by_method or self.name_of(func) in _MANAGER else None

    def _mode(self, decorator: cst.BaseExpression) -> str | None:
        """What a decorator means for the function below it: "required", "optional" or "kept"."""
        replacement = self._replacement(decorator, quiet=True)
        if replacement is not None:
            return "kept" if replacement[1] else "optional" if "identify" in replacement[0] else "required"
        return "kept" if self._is_required(decorator) else None

    def _is_required(self, node: cst.BaseExpression) -> bool:
        return self.name_of(node.func if isinstance(node, cst.Call) else node) in _REQUIRED

    def _is_declaration(self, node: cst.BaseExpression) -> bool:
        name = self.name_of(node.func if isinstance(node, cst.Call) else node)
        return name.startswith("jwt_lp_flask.")

    def _replacement(self, node: cst.BaseExpression, *, quiet: bool = False) -> tuple[str, bool] | None:
        """The declaration for a `jwt_required` decorator, and whether the decorator stays below it."""
        if not self._is_required(node):
            return None
        note: str | None = None
        result: tuple[str, bool] | None = None
        if not isinstance(node, cst.Call):
            note = "jwt_required without () protects nothing: declare the view"
        elif not node.args:
            result = "authenticated", False
        elif keywords(node) == {"optional"} and is_true(keyword(node, "optional")):
            result = "public(identify=True)", False
        elif keywords(node) == {"refresh"} and is_true(keyword(node, "refresh")):
            result = f'external("{_REFRESH}")', True
        elif keywords(node) == {"fresh"} and is_true(keyword(node, "fresh")):
            result = "authenticated", True
            note = (
                "fresh=True stays with Flask-JWT-Extended: a permission of its own, in a short-lived token, replaces it"
            )
        else:
            note = "jwt_required with these arguments has no counterpart: declare the view"
        if note is not None and not quiet:
            self.decide(node, note)
        return (result[0], True) if result is not None and self._keep else result

    def _uses(self, declaration: str) -> None:
        self.add_import("jwt_lp_flask", declaration.partition("(")[0])
        self.may_remove_import(_LIBRARY, "jwt_required")


def _bare(decorator: cst.Decorator) -> cst.Decorator:
    return decorator.with_changes(leading_lines=[])


def _is_decorators(node: cst.CSTNode) -> bool:
    target = node.targets[0].target if isinstance(node, cst.Assign) else None
    return isinstance(target, cst.Name) and target.value == "decorators"


def _decorators_of(statement: cst.CSTNode) -> list[cst.BaseExpression]:
    """The elements of `decorators = [...]`, the attribute of a class of views."""
    if not isinstance(statement, cst.SimpleStatementLine) or not _is_decorators(statement.body[0]):
        return []
    return elements(getattr(statement.body[0], "value", None)) or []
