"""The Python names that a host may use, with their signatures and the first paragraph of their docstrings.

Read from the source without importing it, so nothing has to be installed. A name that is not listed here is not public:
docs/stability.md promises these.
"""

import ast
from pathlib import Path

from scripts.reference import markdown

CALLED = ast.FunctionDef | ast.AsyncFunctionDef
SOURCE = Path(__file__).resolve().parents[2] / "src"

PUBLIC: dict[str, tuple[str, ...]] = {
    "django_pm.access": (
        *("Policy", "Policy.visible_projects", "Policy.may", "Policy.who_sees"),
        *("PolicyForMany", "PolicyForMany.visible_to_each"),
        *("RolePolicy", "RolePolicy.projects_of", "RolePolicy.role", "RolePolicy.required_role"),
        *("OpenPolicy", "ModelPermissionPolicy"),
        *("visible", "may", "require", "who_sees", "sees_all", "Grant", "limit"),
    ),
    "django_pm.events": (
        *("subscribe", "record_external_change", "read", "version", "versions", "as_json"),
        *("Page", "Version"),
    ),
    "django_pm.event_types": ("EVENT_TYPES", "SCHEMA_VERSION", "CHANGES_SCHEMA", "OMITTED"),
    "django_pm.signals": ("events_committed",),
    "django_pm.context": ("acting", "in_request", "request_id", "REQUEST_ID"),
    "django_pm.middleware": ("actor_middleware",),
    "django_pm.models": (
        *("Project", "Task", "Comment", "Membership", "Report", "Event", "Notification"),
        *("AbstractProject", "AbstractTask", "AbstractComment"),
        *("Role", "Status", "Priority"),
    ),
    "django_pm.services.projects": ("create_project",),
    "django_pm.services.members": ("add_member", "change_role", "remove_member"),
    "django_pm.services.assigning": ("assign",),
    "django_pm.services.reports": ("make_today", "rebuild"),
    "django_pm.exceptions": (
        *("DjangoPMError", "NotAllowed", "Conflict", "LastOwner", "AlreadyMember"),
        "StreamReset",
    ),
    "django_pm.api.views": ("ProjectViewSet", "TaskViewSet", "CommentViewSet", "MembershipViewSet"),
    "django_pm.api.base": (
        "ObjectViewSet",
        *("ObjectViewSet.is_cached", "ObjectViewSet.cache_version", "ObjectViewSet.relative_parameters"),
        *("ObjectViewSet.rows", "ObjectViewSet.candidate", "ObjectViewSet.authorise_change"),
    ),
    "django_pm.api.serializers": (
        *("ProjectSerializer", "TaskSerializer", "CommentSerializer", "MembershipSerializer"),
        "StrictModelSerializer",
    ),
    "django_pm.api.filters": ("ProjectFilterSet", "TaskFilterSet"),
    "django_pm.realtime.asgi": ("with_notifications", "notifications", "only_sockets"),
    "django_pm.schedules": ("configure", "beat_schedule"),
    "django_pm.health.middleware": ("request_metrics",),
    "django_pm.health.asgi": ("with_health",),
}
"""By module, the public names; `Class.name` is what a subclass may override, or has to."""


def sections() -> str:
    """A section for each module."""
    return "\n\n".join(section(module, names) for module, names in PUBLIC.items())


def section(module: str, names: tuple[str, ...]) -> str:
    """What a module is for, and its public names."""
    tree = tree_of(module)
    blocks = [f"### {module}", markdown.beginning(ast.get_docstring(tree) or "")]
    for name in names:
        node, text = found(module, name)
        blocks += [f"**`{spelt(name, node)}`**", markdown.plain(text)]
    return "\n\n".join(block for block in blocks if block)


def found(module: str, name: str) -> tuple[ast.stmt, str]:
    """Where ``name`` is defined, and what its docstring says. Raises ``LookupError`` if ``module`` has no such name."""
    owner, _dot, member = name.rpartition(".")
    if owner:
        return in_body(found(module, owner)[0], member) or missing(module, name)
    tree = tree_of(module)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any((each.asname or each.name) == name for each in node.names):
            return found(node.module or "", name)
    return in_body(tree, name) or missing(module, name)


def missing(module: str, name: str) -> tuple[ast.stmt, str]:
    raise LookupError(f"{module} has no {name}.")


def in_body(place: ast.AST, name: str) -> tuple[ast.stmt, str] | None:
    """The function, class or variable that is called ``name`` there, and its docstring (a variable's stands below)."""
    body: list[ast.stmt] = getattr(place, "body", [])
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, CALLED | ast.ClassDef) and node.name == name:
            return node, ast.get_docstring(node) or ""
        if name in assigned(node):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            return node, str(after.value.value) if is_text else ""
    return None


def tree_of(module: str) -> ast.Module:
    """The source of a module, parsed."""
    path = SOURCE.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))


def assigned(node: ast.stmt) -> list[str]:
    """The names that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def spelt(name: str, node: ast.stmt) -> str:
    """A name with what it takes and gives, if it is called; a class by the word."""
    if isinstance(node, ast.ClassDef):
        return f"class {name}"
    if not isinstance(node, CALLED):
        return name
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{'async ' * isinstance(node, ast.AsyncFunctionDef)}{name}({arguments}){returned}"
