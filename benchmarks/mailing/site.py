"""People and tasks that are due, made in SQL: a site of any size in seconds."""

from __future__ import annotations

from django.db import connection

from benchmarks.database import empty, tidy

PEOPLE = """
INSERT INTO auth_user (username, first_name, last_name, email, password, is_active, is_staff, is_superuser, date_joined)
SELECT 'user' || n, 'Ada', 'Lovelace ' || n, 'user' || n || '@example.org', '', true, false, false, now()
FROM generate_series(1, %s) AS n
"""

PROJECTS = """
INSERT INTO django_pm_project (name, description, time_zone, metadata, created_at, updated_at)
SELECT 'Project ' || n, '', 'UTC', '{}', now(), now() FROM generate_series(1, %s) AS n
"""

# Ten people to a project, in the order in which they were made.
MEMBERSHIPS = """
INSERT INTO django_pm_membership (project_id, user_id, role, created_at, updated_at)
SELECT p.id, u.id, 'member', now(), now()
FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM auth_user) AS u
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM django_pm_project) AS p ON u.place / 10 = p.place
"""

DUE_TASKS = """
INSERT INTO django_pm_task (project_id, assignee_id, title, description, status, priority, due_date, metadata,
    created_at, updated_at)
SELECT project_id, user_id, 'Measure the length of wall ' || user_id, 'With the long tape, and twice. Note both.',
    'pending', 2, now() + interval '20 hours' + user_id * interval '0.1 second', '{}', now(), now()
FROM django_pm_membership
"""

# One in ten is open, and due long ago or not yet: as in a site that has been used for some years.
OTHER_TASKS = """
INSERT INTO django_pm_task (project_id, title, description, status, priority, due_date, metadata, created_at,
    updated_at)
SELECT (SELECT min(id) FROM django_pm_project) + n %% (SELECT count(*) FROM django_pm_project), 'Task ' || n, '',
    CASE WHEN n %% 10 = 0 THEN 'pending' ELSE 'completed' END, 1,
    now() + CASE WHEN n %% 3 = 0 THEN interval '2 days' ELSE interval '-300 days' END
        + (n * 7919::bigint %% 1000003) / 1000003.0 * interval '299 days', '{}', now(), now()
FROM generate_series(1, %s) AS n
"""


def furnish(due: int, others: int = 0) -> None:
    """So many open tasks that are due within a day, each somebody else's, and others that are not."""
    clear()
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, [due])
        cursor.execute(PROJECTS, [-(-due // 10)])
        cursor.execute(MEMBERSHIPS)
        cursor.execute(DUE_TASKS)
        if others:
            cursor.execute(OTHER_TASKS, [others])
    tidy()


def clear() -> None:
    """Remove tasks, mail and people."""
    empty()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE auth_user CASCADE")


def forget_mail() -> None:
    """As if nobody had been told yet."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE django_pm_mail, django_pm_notification")
