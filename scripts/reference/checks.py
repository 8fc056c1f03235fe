"""The system checks, as their source has them: each call that carries an id, with its text and its hint."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.reference import markdown

SOURCE = Path(__file__).resolve().parents[2] / "src" / "django_pm"
ID = re.compile(r"(?:django_pm\.)?([EW]\d{3})")
LEVELS = {"E": "error", "W": "warning"}


def table() -> str:
    """A row for each id; what a message fills in stands in italics."""
    rows = {cells[0]: cells for reader in readers() for cells in reader.rows()}
    return markdown.table(["id", "level", "what is wrong", "what to do"], [rows[key] for key in sorted(rows)])


def readers() -> Iterator["Reader"]:
    """One for every function of the checks."""
    for path in [*SOURCE.glob("checks.py"), *SOURCE.glob("checks/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                yield Reader(node, [*assignments(tree.body), *assignments(ast.walk(node))])


def assignments(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[tuple[str, int, ast.expr]]:
    """Name, line and value of each plain assignment."""
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.lineno, node.value


class Reader:
    """Reads what one function tells, with what is assigned in it and in its module."""

    def __init__(self, function: ast.FunctionDef, assigned: list[tuple[str, int, ast.expr]]) -> None:
        self.function = function
        self.assigned = assigned
        decorators = [each for each in function.decorator_list if isinstance(each, ast.Call)]
        self.only_on_deployment = any(keyword.arg == "deploy" for each in decorators for keyword in each.keywords)

    def rows(self) -> Iterator[list[str]]:
        """A row for each call that carries an id."""
        for call in ast.walk(self.function):
            if isinstance(call, ast.Call) and (found := identifier(call)):
                text, hint = [self.words(value) for value in arguments(call) if not is_id(value)][:2]
                if re.fullmatch(r"\*[^*]+\*", text):  # all of it is known only then
                    text = f"It is not so that {markdown.beginning(ast.get_docstring(self.function) or '')}"
                level = LEVELS[found[0]] + (" with `--deploy`" if self.only_on_deployment else "")
                yield [f"`django_pm.{found}`", level, markdown.cell(text), markdown.cell(hint)]

    def words(self, value: ast.expr) -> str:
        """What an expression says, as far as the source tells; of a choice, what it says otherwise."""
        match value:
            case ast.Constant():
                return str(value.value)
            case ast.JoinedStr():
                return "".join(self.words(part) for part in value.values)
            case ast.FormattedValue():
                return self.words(value.value)
            case ast.IfExp():
                return self.words(value.orelse)
            case ast.Attribute(attr="help_text"):
                return "What the key takes is told above."
            case ast.Call(
                func=ast.Attribute(attr="join", value=ast.Constant(value=comma)), args=[ast.Name() as joined]
            ):
                values = self.assigned_to(joined)
                if isinstance(values, ast.Tuple):
                    return str(comma).join(self.words(each) for each in values.elts)
        assigned = self.assigned_to(value)
        if isinstance(assigned, ast.Constant | ast.JoinedStr | ast.IfExp):
            return self.words(assigned)
        return f"*{name_of(value)}*"

    def assigned_to(self, value: ast.expr) -> ast.expr | None:
        """What a name stood for last, above this place."""
        if not isinstance(value, ast.Name):
            return None
        above = [(line, each) for name, line, each in self.assigned if name == value.id and line < value.lineno]
        return max(above, key=lambda found: found[0])[1] if above else None


def arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def is_id(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and bool(ID.fullmatch(value.value))


def identifier(call: ast.Call) -> str:
    """The last part of the id that a call carries; empty if it carries none."""
    found = [value.value for value in arguments(call) if isinstance(value, ast.Constant) and is_id(value)]
    return str(found[0]).removeprefix("django_pm.") if found else ""


def name_of(value: ast.expr) -> str:
    """What to call something that is known only when the check runs."""
    match value:
        case ast.Name(id=word) | ast.Constant(value=str(word)):
            return word.strip("_").lower().replace("_", " ")
        case ast.Attribute(attr="__name__", value=ast.Call(func=ast.Name(id="type"))):
            return "type"
        case ast.Attribute(attr="__name__"):
            return name_of(value.value)
        case ast.Attribute():
            return value.attr.strip("_").lower().replace("_", " ")
        case ast.Call(args=[first, *_]):
            return name_of(first)
        case ast.Call():
            return name_of(value.func)
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key.lower()
        case ast.Subscript():
            return name_of(value.value)
        case _:
            return "…"
