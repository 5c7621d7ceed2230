"""What the rewriters of all libraries share: qualified names, imports, and what a person must decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import libcst as cst
from libcst.codemod import CodemodContext, ContextAwareTransformer
from libcst.codemod.visitors import AddImportsVisitor, RemoveImportsVisitor
from libcst.metadata import MetadataWrapper, PositionProvider, ProviderT, QualifiedNameProvider, QualifiedNameSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class Decision(NamedTuple):
    """What a person must decide, and where."""

    line: int
    text: str


class Project(NamedTuple):
    """What is known of the project as a whole."""

    texts: Sequence[str]

    def mentions(self, *words: str) -> bool:
        """Whether one file has all of these words."""
        return any(all(word in text for word in words) for text in self.texts)


class Rewriter(ContextAwareTransformer):
    """Rewrites one module for one library. `decisions` lists what it leaves to a person."""

    METADATA_DEPENDENCIES: ClassVar[Collection[ProviderT]] = (PositionProvider, QualifiedNameProvider)

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context)
        self.project = project
        self.decisions: list[Decision] = []
        self._removable: list[tuple[str, str]] = []

    def name_of(self, node: cst.CSTNode) -> str:
        """The dotted name that `node` was imported by; "" if it was not imported, or by several names."""
        found = cast("Collection[Any]", self.get_metadata(QualifiedNameProvider, node, set()))
        names = {name.name for name in found if name.source is QualifiedNameSource.IMPORT}
        return names.pop() if len(names) == len(found) == 1 else ""

    def is_call(self, node: cst.CSTNode | None, *names: str) -> bool:
        """Whether `node` is a call of one of these imported names."""
        return isinstance(node, cst.Call) and self.name_of(node.func) in names

    def decide(self, node: cst.CSTNode, text: str) -> None:
        """Leave something to a person."""
        position = cast("Any", self.get_metadata(PositionProvider, node))
        decision = Decision(position.start.line, text)
        if decision not in self.decisions:
            self.decisions.append(decision)

    def add_import(self, module: str, name: str) -> None:
        """Import a name, unless the module does already."""
        AddImportsVisitor.add_needed_import(self.context, module, name)

    def may_remove_import(self, module: str, name: str) -> None:
        """Remove this import, if nothing uses it any more."""
        self._removable.append((module, name))

    def rewrite(self, wrapper: MetadataWrapper) -> cst.Module:
        """The module with all changes, imports included; the very same module if there are none."""
        tree = wrapper.module
        changed = wrapper.visit(self)
        if changed.bytes == tree.bytes:
            return tree
        for module, name in self._removable:
            RemoveImportsVisitor.remove_unused_import(self.context, module, name)
        # Parsed anew, because a changed tree may hold a node twice.
        changed = AddImportsVisitor(self.context).transform_module(cst.parse_module(changed.bytes))
        return cst.parse_module(RemoveImportsVisitor(self.context).transform_module(changed).bytes)


def parameters(node: cst.FunctionDef) -> list[cst.Param]:
    """The parameters of a function that have a name of their own."""
    params = node.params
    return [*params.posonly_params, *params.params, *params.kwonly_params]


def text_of(node: cst.BaseExpression | None) -> str | None:
    """The value of a plain string literal, otherwise None."""
    if isinstance(node, (cst.SimpleString, cst.ConcatenatedString)):
        value = node.evaluated_value
        return value if isinstance(value, str) else None
    return None


def elements(node: cst.BaseExpression | None) -> list[cst.BaseExpression] | None:
    """The expressions of a list, tuple or set without a star, otherwise None."""
    if not isinstance(node, (cst.List, cst.Tuple, cst.Set)):
        return None
    if any(isinstance(element, cst.StarredElement) for element in node.elements):
        return None
    return [element.value for element in node.elements]


def keyword(call: cst.Call, name: str) -> cst.BaseExpression | None:
    """The value of a keyword argument, None if the call does not have it."""
    return next((arg.value for arg in call.args if arg.keyword is not None and arg.keyword.value == name), None)


def keywords(call: cst.Call) -> set[str]:
    """The names of all arguments: "*" for one by position or with a star."""
    return {arg.keyword.value if arg.keyword is not None else "*" for arg in call.args}


def is_true(node: cst.BaseExpression | None) -> bool:
    """Whether it is the name True."""
    return isinstance(node, cst.Name) and node.value == "True"


def call(function: str, arguments: Iterable[cst.BaseExpression]) -> cst.Call:
    """A call of a name with arguments by position."""
    args = [
        cst.Arg(argument.with_changes(lpar=[], rpar=[]) if isinstance(argument, cst.SimpleString) else argument)
        for argument in arguments
    ]
    return cst.Call(cst.parse_expression(function), args)


def replace_element(node: cst.List | cst.Tuple | cst.Set, index: int, *values: cst.BaseExpression) -> Any:
    """The list with `values` in place of one element; commas and comments of the others stay."""
    items = list(node.elements)
    old = items[index]
    new = [cst.Element(value) for value in values]
    if new:
        new[-1] = new[-1].with_changes(comma=old.comma)
        new[:-1] = [item.with_changes(comma=separator(node)) for item in new[:-1]]
    items[index : index + 1] = new
    if not new and items and index == len(items):
        items[-1] = items[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return node.with_changes(elements=items)


def separator(node: cst.BaseExpression) -> cst.Comma:
    """A comma for a new element of a list or tuple: with a line break, if the elements stand on lines of their own."""
    brackets: cst.LeftSquareBracket | cst.LeftParen | None
    brackets = node.lbracket if isinstance(node, cst.List) else node.lpar[0] if node.lpar else None
    opening = brackets.whitespace_after if brackets is not None else None
    if isinstance(opening, cst.ParenthesizedWhitespace):
        return cst.Comma(whitespace_after=line_break(opening))
    return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


def line_break(like: cst.ParenthesizedWhitespace) -> cst.ParenthesizedWhitespace:
    """The same line break, without comments and empty lines."""
    newline = cst.TrailingWhitespace(newline=like.first_line.newline)
    return cst.ParenthesizedWhitespace(newline, indent=like.indent, last_line=like.last_line)
