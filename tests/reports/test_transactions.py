"""Reports that are made inside transactions of the host's own, whatever it has chosen for them."""

import datetime as dt

import pytest
from django.db import OperationalError, transaction

from django_pm.models import Event, Mail, NotificationPreferences, Project, Report
from django_pm.services.reports import make_due, make_today, rebuild
from tests.events.workers import SERIALIZATION_FAILURE, Session, atomic, repeatable_read_by_default, sqlstate
from tests.factories import make_project, make_task, make_user

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def project():
    owner = make_user()
    NotificationPreferences.objects.create(user=owner, reports=True)
    project = make_project(owner, time_zone="UTC")
    Project.objects.update(created_at=NOW - 30 * DAY)
    make_task(project)
    return project


def told():
    return Event.objects.filter(type="report.generated").count()


@pytest.fixture
def by_hand():
    """A host that begins and ends its transactions by hand."""
    transaction.set_autocommit(False)
    try:
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.usefixtures("project", "by_hand")
class TestByHand:
    def test_all_that_are_due(self, project):
        make_task(project)  # something has been asked and written already
        assert make_due() == 1
        assert Report.objects.get().data["tasks"]["total"] == 2
        assert (told(), Mail.objects.count()) == (1, 1)
        assert make_due() == 0

    def test_one_and_anew(self, project):
        report, is_new = make_today(actor=None, project=project)
        assert is_new
        make_task(project)
        assert rebuild(actor=None, report=report).data["tasks"]["total"] == 2
        transaction.commit()
        assert Report.objects.get().data["tasks"]["total"] == 2

    @pytest.mark.postgres  # where a savepoint outside a transaction is none
    def test_undone_it_is_as_if_it_had_never_been_made(self, project):
        assert make_due() == 1
        transaction.rollback()
        assert not Report.objects.exists()
        assert (told(), Mail.objects.count()) == (0, 0)


@pytest.mark.postgres
class TestRepeatableRead:
    """Somebody else makes the same report after the host's transaction has begun to look."""

    def test_by_default(self, project):
        with repeatable_read_by_default(), Session() as other:
            report, _new = other.do(make_today, actor=None, project=project)
            assert make_today(actor=None, project=project) == (report, False)
            assert make_due() == 0

    def test_what_its_snapshot_does_not_show_is_to_be_tried_again(self, project):
        """As PostgreSQL says it, so that whoever repeats transactions repeats this one."""

        def host(meanwhile):
            with atomic("REPEATABLE READ"):
                assert not Report.objects.exists()
                meanwhile()
                make_today(actor=None, project=project)

        with Session() as other:
            with pytest.raises(OperationalError) as refused:
                host(lambda: other.do(make_today, actor=None, project=project))
            assert sqlstate(refused.value) == SERIALIZATION_FAILURE
        with atomic("REPEATABLE READ"):
            report, is_new = make_today(actor=None, project=project)
        assert (report, is_new) == (Report.objects.get(), False)
        assert (told(), Mail.objects.count()) == (1, 1)

    def test_without_anybody_else(self, project):
        with atomic("REPEATABLE READ"):
            report, is_new = make_today(actor=None, project=project)
            assert is_new
            assert make_today(actor=None, project=project) == (report, False)
            assert rebuild(actor=None, report=report) == report
        assert (told(), Mail.objects.count()) == (1, 1)  # the same data at the same instant tells nothing
