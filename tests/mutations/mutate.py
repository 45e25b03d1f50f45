"""One-line mutations: where they can be made, a seeded draw of them, and how one is found again in another commit."""

from __future__ import annotations

import ast
import difflib
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: Mapping[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC: Mapping[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}
AROUND = 3
"""Lines before and after that help to find a line again."""
ALIKE = 0.6
"""How alike (difflib's ratio) a changed line must be to count as the same one."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replace `old` by `new` in one line; `before` and `after` are that line's neighbours.

    `function` is where the line is, as `Class.method()`; a line without parentheses there runs at import.
    """

    file: str
    function: str
    line: int
    kind: str
    old: str
    new: str
    text: str
    mutated: str
    before: list[str]
    after: list[str]

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.kind}"


@dataclass(frozen=True, slots=True)
class Edit:
    """Columns of one line, and what stands there instead."""

    line: int
    begin: int
    end: int
    new: str
    kind: str


class Candidates(ast.NodeVisitor):
    """Collects the edits that one file admits; annotations, decorators and docstrings admit none."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines()
        self.edits: list[tuple[str, Edit]] = []
        self.scope: list[str] = []
        self.visit(ast.parse(source))

    def put(self, node: ast.AST, new: str, kind: str) -> None:
        assert isinstance(node, ast.expr | ast.stmt)
        if node.lineno == node.end_lineno:
            edit = Edit(node.lineno, node.col_offset, node.end_col_offset or 0, new, kind)
            self.edits.append((".".join(self.scope), edit))

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str, kind: str) -> None:
        """Replace the operator that stands between two operands of one line."""
        if left.end_lineno != right.lineno:
            return
        begin, end = left.end_col_offset or 0, right.col_offset
        found = re.search(
            rf"(?<!\S){re.escape(old)}(?!\S)", self.bytes_of(left.end_lineno, begin, end)
        )
        if found:
            at = begin + found.start()
            edit = Edit(right.lineno, at, at + len(old), new, kind)
            self.edits.append((".".join(self.scope), edit))

    def bytes_of(self, line: int, begin: int, end: int) -> str:
        # ast counts bytes; latin-1 keeps one character a byte
        return self.lines[line - 1].encode()[begin:end].decode("latin-1")

    # ---- what is left alone

    def inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.scope.append(node.name if isinstance(node, ast.ClassDef) else f"{node.name}()")
        for statement in node.body:
            self.visit(statement)
        self.scope.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.inside(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.inside(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_TypeAlias(self, node: ast.TypeAlias) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    # ---- what is changed

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, op, right in zip(operands, node.ops, operands[1:], strict=False):
            old, new = COMPARISONS[type(op)]
            self.between(left, right, old, new, "comparison")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, old, new, "and/or")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self.between(node.left, node.right, old, new, "arithmetic")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.put(node, ast.unparse(node.operand), "removed not")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.put(node, str(not node.value), "constant")
        elif isinstance(node.value, int):
            self.put(node, str(node.value + 1), "constant")
        elif isinstance(node.value, float):
            self.put(node, str(node.value * 2 + 1), "constant")

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value and not (isinstance(value, ast.Constant) and value.value is None):
            self.put(node, "return None", "returned value")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def condition(self, test: ast.expr) -> None:
        if "TYPE_CHECKING" not in ast.unparse(test):
            self.put(test, f"not ({ast.unparse(test)})", "condition")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):  # a docstring
            return
        self.put(node, "pass", "removed statement")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self.put(node, "pass", "removed statement")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.put(node, "pass", "removed statement")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.put(node, "pass", "removed statement")
        self.generic_visit(node)


def mutations(file: str, source: str) -> list[Mutation]:
    """All that `file` admits. Some of them don't compile."""
    lines = source.splitlines()
    return [_mutation(file, lines, function, edit) for function, edit in Candidates(source).edits]


def _mutation(file: str, lines: list[str], function: str, edit: Edit) -> Mutation:
    at = edit.line - 1
    raw = lines[at].encode()
    return Mutation(
        file=file,
        function=function,
        line=edit.line,
        kind=edit.kind,
        old=raw[edit.begin : edit.end].decode(),
        new=edit.new,
        text=lines[at],
        mutated=(raw[: edit.begin] + edit.new.encode() + raw[edit.end :]).decode(),
        before=lines[max(0, at - AROUND) : at],
        after=lines[at + 1 : at + 1 + AROUND],
    )


def of_tree(root: Path) -> list[Mutation]:
    found: list[Mutation] = []
    for path in sorted((root / "addon").rglob("*.py")):
        found += mutations(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
    return found


def applied(mutation: Mutation, source: str) -> str:
    lines = source.splitlines(keepends=True)
    assert lines[mutation.line - 1].rstrip("\r\n") == mutation.text, mutation.name
    lines[mutation.line - 1] = mutation.mutated + "\n"
    return "".join(lines)


def compiles(mutation: Mutation, root: Path) -> bool:
    try:
        compile(
            applied(mutation, (root / mutation.file).read_text(encoding="utf-8")), "mutated", "exec"
        )
    except SyntaxError:
        return False
    return True


def draw(
    root: Path,
    count: int,
    seed: int,
    room: Callable[[str], str],
    covered: Callable[[Mutation], bool],
) -> list[Mutation]:
    """`count` mutations of covered lines: two of every room, the rest by the rooms' sizes; no line twice."""
    chance = random.Random(seed)  # noqa: S311
    by_room: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in of_tree(root):
        if covered(mutation):
            by_room[room(mutation.file)].append(mutation)
    rooms = sorted(by_room)
    shares = rooms * 2
    shares += chance.choices(
        rooms, [len(by_room[name]) for name in rooms], k=max(0, count - len(shares))
    )
    drawn: list[Mutation] = []
    for name in shares[:count]:
        while True:
            # the kind first: constants would be half of them
            kind = chance.choice(sorted({m.kind for m in by_room[name]}))
            taken = chance.choice([m for m in by_room[name] if m.kind == kind])
            by_room[name].remove(taken)
            if all((m.file, m.line) != (taken.file, taken.line) for m in drawn) and compiles(
                taken, root
            ):
                drawn.append(taken)
                break
    return sorted(drawn, key=lambda m: (m.file, m.line))


# ---- in another commit

EXACT = ("comparison", "and/or", "arithmetic", "constant")
"""Kinds whose replaced text must be the same; the others may hold names that have changed."""


def find_again(mutation: Mutation, tree: Iterable[Mutation]) -> tuple[Mutation | None, float]:
    """The mutation of another commit that is most like this one, and how alike they are: 1.0 for the same."""
    alike = [
        (likeness(mutation, other), other)
        for other in tree
        if other.kind == mutation.kind
        and (other.kind not in EXACT or other.old == mutation.old)
        and ratio_at_most(other.text.strip(), mutation.text.strip()) >= ALIKE
    ]
    if not alike:
        return None, 0.0
    ratio, best = max(alike, key=lambda pair: pair[0])
    return (best, ratio) if ratio >= ALIKE else (None, ratio)


def ratio_at_most(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).quick_ratio()


def ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def likeness(one: Mutation, other: Mutation) -> float:
    around = ratio(
        _joined(one.before) + _joined(one.after), _joined(other.before) + _joined(other.after)
    )
    change = ratio(one.mutated.strip(), other.mutated.strip())
    return 0.5 * ratio(one.text.strip(), other.text.strip()) + 0.2 * change + 0.3 * around


def _joined(lines: list[str]) -> str:
    return "\n".join(line.strip() for line in lines)
