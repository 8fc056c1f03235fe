"""Projects, tasks and comments to read, made in SQL, and readers who see one project, fifty, or all."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from benchmarks.database import empty, tidy

PROJECTS = """
INSERT INTO django_pm_project (name, description, time_zone, metadata, created_at, updated_at)
SELECT 'Project ' || n, '', 'UTC', '{}', now(), now() FROM generate_series(1, %s) AS n
"""

STREAMS = """
INSERT INTO django_pm_projectstream (project_id, seq, floor, epoch)
SELECT id, 200, 1, md5(id::text) FROM django_pm_project
"""

# Spread over the projects, one in three completed.
TASKS = """
INSERT INTO django_pm_task (project_id, title, description, status, priority, due_date, metadata, created_at,
    updated_at)
SELECT (SELECT min(id) FROM django_pm_project) + n %% (SELECT count(*) FROM django_pm_project), 'Measure wall ' || n,
    'With the long tape, and twice. Note both, and which of them you believe. Then tell the others about wall ' || n,
    (ARRAY['pending', 'in_progress', 'completed'])[1 + n %% 3], n %% 5, now() + n * interval '1 minute', '{}',
    now() - n * interval '1 minute', now() - n * interval '1 minute'
FROM generate_series(1, %s) AS n
"""

COMMENTS = """
INSERT INTO django_pm_comment (task_id, author, content, created_at, updated_at)
SELECT task.id, 'Ada', 'Done twice.', now(), now() FROM django_pm_task AS task, generate_series(1, 3)
"""

MEMBERSHIPS = """
INSERT INTO django_pm_membership (project_id, user_id, role, created_at, updated_at)
SELECT id, %s, 'member', now(), now() FROM django_pm_project ORDER BY id LIMIT %s
"""


def furnish(*, projects: int, tasks: int) -> None:
    """So many of them, with three comments on each task, all streams numbered."""
    empty()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE auth_user CASCADE")
        cursor.execute(PROJECTS, [projects])
        cursor.execute(STREAMS)
        cursor.execute(TASKS, [tasks])
        cursor.execute(COMMENTS)
    tidy()


def reader(name: str, projects: int) -> Any:
    """A member of so many projects."""
    user = get_user_model().objects.create_user(name)
    with connection.cursor() as cursor:
        cursor.execute(MEMBERSHIPS, [user.pk, projects])
    return user


def superuser(name: str) -> Any:
    """Somebody who sees all without being a member."""
    return get_user_model().objects.create_superuser(name)
