"""Whoever writes does not pay for those who watch: it is the subscriber that tells them, later."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_pm.events.relay import relay_events
from django_pm.models import Level, Membership, Notification, Watch, Watched
from django_pm.services.notifications import notifying
from tests import factories
from tests.events.workers import Session

MANY = 10_000


def crowd(project, task):
    """As many people as would hurt if somebody waited for them."""
    users = get_user_model()
    name = users.USERNAME_FIELD
    everybody = [users(**{name: f"watcher{number}@example.org"}) for number in range(MANY)]
    users.objects.bulk_create(everybody, batch_size=500)
    keys = list(users.objects.filter(**{f"{name}__startswith": "watcher"}).values_list("pk", flat=True))
    rows = [Membership(project=project, user_id=key, role="viewer") for key in keys]
    Membership._base_manager.bulk_create(rows, batch_size=500)
    watches = [Watch(user_id=key, object_type=Watched.TASK, object_id=task.pk, level=Level.WATCHING) for key in keys]
    Watch.objects.bulk_create(watches, batch_size=500)


@pytest.mark.django_db
def test_a_write_asks_the_same_of_the_database(project, told):
    task = factories.make_task(project)
    told()

    def statements():
        with CaptureQueriesContext(connection) as captured:
            factories.make_comment(task)
        return [query["sql"].split("VALUES")[0].split("WHERE")[0] for query in captured]

    alone = statements()
    crowd(project, task)
    told()
    Notification.objects.all().delete()
    assert statements() == alone
    with CaptureQueriesContext(connection) as captured:
        relay_events()
    assert Notification.objects.count() == MANY
    assert len(captured) < MANY / 50, "nor does the subscriber ask for each of them"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_write_waits_for_nobody_who_is_being_told(project, told, monkeypatch):
    task = factories.make_task(project)
    crowd(project, task)
    told()
    Notification.objects.all().delete()
    factories.make_comment(task)
    tell, written = notifying.tell, []

    def tell_while_somebody_writes(occasions):
        number = tell(occasions)
        with Session() as other:

            def write():
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '2s'")
                    factories.make_comment(task)

            other.do(write)
        written.append(1)
        return number

    with monkeypatch.context() as patch:
        patch.setattr(notifying, "tell", tell_while_somebody_writes)
        relay_events()
    assert written == [1]
    assert Notification.objects.count() == MANY
    relay_events()
    assert Notification.objects.count() == 2 * MANY
