"""A site of some years, made in SQL within two minutes: many projects, and a long log in the order of time."""

from __future__ import annotations

from typing import Any

from django.db import connection

from benchmarks.database import empty, tidy

DAYS = 200
"""How long ago the first task was made."""

PEOPLE = """
INSERT INTO auth_user (username, first_name, last_name, email, password, is_active, is_staff, is_superuser, date_joined)
SELECT 'person' || n, 'Ada', 'Lovelace ' || n, 'person' || n || '@example.org', '', true, false, false, now()
FROM generate_series(1, %(projects)s) AS n
"""

PREFERENCES = """
INSERT INTO django_pm_notificationpreferences (user_id, language, time_zone, reminders, reports)
SELECT id, '', '', true, true FROM auth_user
"""

PROJECTS = """
INSERT INTO django_pm_project (id, name, description, time_zone, metadata, created_at, updated_at)
SELECT n, 'Project ' || n, '',
    (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Pacific/Auckland'])[1 + n %% 5], '{}',
    %(until)s::timestamptz - interval '1 year', %(until)s
FROM generate_series(1, %(projects)s) AS n
"""

# Ten people to a project, of whom two are mailed.
MEMBERSHIPS = """
INSERT INTO django_pm_membership (project_id, user_id, role, created_at, updated_at)
SELECT p, (SELECT min(id) FROM auth_user) + (p * 7 + k * 131) %% %(projects)s,
    CASE k WHEN 0 THEN 'owner' WHEN 1 THEN 'manager' ELSE 'member' END, now(), now()
FROM generate_series(1, %(projects)s) AS p, generate_series(0, 9) AS k
"""

# In the order of time, each of another project than the one before; seven in ten completed, a quarter nobody's.
TASKS = """
INSERT INTO django_pm_task (id, project_id, title, description, status, priority, due_date, assignee_id, completed_at,
    metadata, created_at, updated_at)
SELECT n, project, 'Task ' || n, 'Measure the length of the wall with the long tape, twice, and note both.',
    CASE WHEN drawn %% 10 < 7 THEN 'completed' WHEN drawn %% 10 = 7 THEN 'in_progress' ELSE 'pending' END,
    drawn / 10 %% 5, at + interval '1 day' * (drawn / 50 %% 40),
    CASE WHEN drawn / 2000 %% 4 > 0 THEN
        (SELECT min(id) FROM auth_user) + (project * 7 + drawn / 8000 %% 10 * 131) %% %(projects)s END,
    CASE WHEN drawn %% 10 < 7 THEN at + interval '1 day' * (drawn / 100 %% 9) END, '{}', at, at
FROM (
    SELECT n, 1 + n * 7919::bigint %% %(projects)s AS project, abs(hashint8(n)::bigint) AS drawn,
        %(until)s::timestamptz - (1 - n::float / %(tasks)s) * %(days)s * interval '1 day' AS at
    FROM generate_series(1, %(tasks)s) AS n
) AS task ORDER BY n
"""

# Of each task: made, completed or given to somebody, and commented upon.
EVENTS = """
INSERT INTO django_pm_event (uuid, project_id, seq, type, object_type, object_id, actor_name, changes, version, origin,
    created_at)
SELECT gen_random_uuid(), project, row_number() OVER (PARTITION BY project ORDER BY n),
    CASE kind WHEN 0 THEN 'task.created' WHEN 1 THEN 'task.updated' ELSE 'comment.created' END,
    CASE kind WHEN 2 THEN 'comment' ELSE 'task' END, task, '',
    CASE WHEN kind = 0 THEN jsonb_build_object('title', jsonb_build_array(null, 'Task ' || task),
            'status', '[null, "pending"]'::jsonb, 'due_date', '[null, "2030-01-02T00:00:00Z"]'::jsonb,
            'description', '[null, "Measure the length of the wall with the long tape, twice, and note both."]'::jsonb)
        WHEN kind = 1 AND task %% 3 > 0 THEN '{"status": ["pending", "completed"]}'::jsonb
        WHEN kind = 1 THEN '{"assignee": [null, 5]}'::jsonb
        ELSE jsonb_build_object('task', jsonb_build_array(null, task), 'content', '[null, "Noted."]'::jsonb) END,
    1, 'api', at
FROM (
    SELECT n, task, kind, 1 + task * 7919::bigint %% %(projects)s AS project,
        %(until)s::timestamptz - (1 - n::float / 3 / %(tasks)s) * %(days)s * interval '1 day' AS at
    FROM (SELECT n, 1 + n / 3 AS task, n %% 3 AS kind FROM generate_series(0, 3 * %(tasks)s - 1) AS n) AS numbered
) AS event ORDER BY n
"""

STREAMS = """
INSERT INTO django_pm_projectstream (project_id, seq, floor, epoch)
SELECT project_id, max(seq), 1, 'e' FROM django_pm_event GROUP BY project_id
"""


def furnish(projects: int, tasks: int, until: Any) -> None:
    """So many projects with their tasks, three times as many events, and everybody wanting reports."""
    clear()
    values = {"projects": projects, "tasks": tasks, "until": until, "days": DAYS}
    with connection.cursor() as cursor:
        for statement in (PEOPLE, PREFERENCES, PROJECTS, MEMBERSHIPS, TASKS, EVENTS, STREAMS):
            cursor.execute(statement, values if "%(" in statement else None)
    tidy()


def clear() -> None:
    """Remove people and projects."""
    empty()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE auth_user CASCADE")
