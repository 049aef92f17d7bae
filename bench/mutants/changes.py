"""Small changes of a module, one at a time: a bound moved, a condition settled, a statement left out.

What nobody decides by stays as it is: docstrings, annotations, titles and sentences of refusals, what assertions say,
names of shelves and types.
"""

import ast
import copy
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final, NamedTuple

COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ORDERED: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
CALLED: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
NAMING: Final = {"NewType", "Shelf", "TypeVar"}
"""Calls that only give something a name."""


class Change(NamedTuple):
    """One change of a module, by its number among all of them."""

    number: int
    line: int
    lines: range | None
    """The lines of the statement it stands in; None where it happens on import."""
    before: str
    after: str


class _Edit(NamedTuple):
    place: ast.AST
    field: str
    nth: int | None
    """Which one, where the field is a list."""
    old: ast.AST
    new: ast.AST
    lines: range | None

    def make(self) -> None:
        if self.nth is None:
            setattr(self.place, self.field, self.new)
        else:
            getattr(self.place, self.field)[self.nth] = self.new


def changes(source: str) -> list[Change]:
    """Every change that can be made to the module, always in the same order."""
    found = []
    for number, edit in enumerate(_edits(ast.parse(source))):
        line = getattr(edit.old, "lineno", getattr(edit.place, "lineno", 0))
        found.append(Change(number, line, edit.lines, *_shown(edit.old, edit.new)))
    return found


def changed(source: str, number: int) -> ast.Module:
    """The module with that one change made."""
    tree = ast.parse(source)
    next(edit for n, edit in enumerate(_edits(tree)) if n == number).make()
    return ast.fix_missing_locations(tree)


def _shown(old: ast.AST, new: ast.AST) -> list[str]:
    """Both as text, long ones from shortly before the place where they part."""
    texts = [" ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split()) for node in (old, new)]
    apart = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False)))
    start = max(0, apart - 40) if max(map(len, texts)) > 90 else 0
    return [_cut(f"...{text[start:]}" if start else text) for text in texts]


def _cut(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:87]}..."


def _edits(tree: ast.Module) -> Iterator[_Edit]:
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return _within(tree, None, sentences={id(call.args[0]) for call in raised if call.args})


def _within(place: ast.AST, lines: range | None, *, sentences: set[int]) -> Iterator[_Edit]:
    for field, value in ast.iter_fields(place):
        for nth, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or id(child) in sentences or not _matters(child, field):
                continue
            around = _inside(place, field, lines)
            here = _lines_of(child, around) if isinstance(child, ast.stmt) else around
            for new in _instead(child, place, field):
                yield _Edit(place, field, nth, child, ast.copy_location(new, child), here)
            yield from _within(child, here, sentences=sentences)


def _inside(place: ast.AST, field: str, lines: range | None) -> range | None:
    """The statements of a function have lines of their own; its defaults, a class and a module happen on import."""
    return range(0) if isinstance(place, ast.FunctionDef) and field == "body" and lines is None else lines


def _lines_of(statement: ast.stmt, around: range | None) -> range | None:
    if around is None:
        return None
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if body:
        first = body[0].pattern.lineno if isinstance(body[0], ast.match_case) else body[0].lineno
        return range(statement.lineno, max(first, statement.lineno + 1))
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _matters(child: ast.AST, field: str) -> bool:
    return not (
        field in ("annotation", "returns", "decorator_list", "format_spec", "pattern", "msg", "cause")
        or (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant))
        or (isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in NAMING)
        or (isinstance(child, ast.FunctionDef) and child.name == "__repr__")
        or (isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) in ("__slots__", "title"))
    )


def _instead(node: ast.AST, place: ast.AST, field: str) -> Iterator[ast.AST]:
    if isinstance(node, ast.stmt):
        yield from _instead_of_statement(node, place)
    elif isinstance(node, ast.expr):
        is_condition = (field == "test" and not isinstance(place, ast.Assert)) or field == "ifs"
        if is_condition:
            yield ast.Constant(False)
            if not isinstance(place, ast.While):
                yield ast.Constant(True)
        yield from _instead_of_expression(node, place, is_condition)


def _instead_of_statement(node: ast.stmt, place: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Assert(test=ast.Compare(ops=[ast.IsNot()])):
            return  # tells the type checker, not the reader
        case ast.Assert():
            yield ast.Pass()
        case ast.Raise() if not (isinstance(place, ast.If) and len(place.body) == 1):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.AugAssign() if type(node.op) in COMPUTED:
            yield ast.AugAssign(node.target, COMPUTED[type(node.op)](), node.value)


def _instead_of_expression(node: ast.expr, place: ast.AST, is_condition: bool) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            for n, op in enumerate(node.ops):
                if isinstance(op, ORDERED) or not is_condition:
                    ops = [*node.ops[:n], COMPARED[type(op)](), *node.ops[n + 1 :]]
                    yield ast.Compare(node.left, ops, node.comparators)
        case ast.BoolOp():
            for n in range(len(node.values)):
                rest = [*node.values[:n], *node.values[n + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub()) if not is_condition:
            yield node.operand
        case ast.BinOp() if type(node.op) in COMPUTED:
            yield ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() as number):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str() as text) if not (isinstance(place, ast.JoinedStr) and not text.strip()):
            yield ast.Constant(f"{text}X")
        case ast.Call():
            yield from _instead_of_call(node)


def _instead_of_call(node: ast.Call) -> Iterator[ast.AST]:
    name: Any = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in CALLED:
        yield ast.Call(ast.Name(CALLED[name], ast.Load()), node.args, node.keywords)
    if name == "sorted":
        yield ast.Call(ast.Name("list", ast.Load()), node.args, [])
    if name == "reversed":
        yield node.args[0]
    for n in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, [*node.keywords[:n], *node.keywords[n + 1 :]])
