"""Projects that nobody follows: many of them at once hold up nobody who follows another."""

import pytest

from django_pm import access
from django_pm.models import Event
from django_pm.realtime import reading
from tests.factories import make_project, make_task, make_user

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = 12


def unnumbered():
    return set(Event.objects.filter(seq__isnull=True).values_list("project_id", flat=True))


@pytest.fixture
def turn():
    """`turn()`: what a hub asks that somebody told to follow one project, in which something has happened."""
    user, other = make_user(), make_user()
    project = make_project(user)
    places = reading.places_of([project.pk], make=True)
    make_task(project)
    for _ in range(OTHERS):
        make_project(other)
    keys = [project.pk]

    def look(hinted=()):
        return reading.look(
            reading.Question(1, set(hinted), places, False, lambda: reading.places_of(keys), [user.pk], set(), False)
        )[0]

    look.project = project
    return look


def test_what_is_followed_does_not_wait_for_the_rest(turn, monkeypatch):
    monkeypatch.setattr(reading, "OTHERS_SECONDS", 0)
    found = turn()
    assert next(each.news.project_id for each in found) == turn.project.pk
    assert turn.project.pk not in unnumbered()
    assert len(unnumbered()) == OTHERS - 1  # one each time, whatever it takes
    turn()
    assert len(unnumbered()) == OTHERS - 2


def test_what_is_hinted_at_comes_first(turn, monkeypatch):
    monkeypatch.setattr(reading, "OTHERS_SECONDS", 0)
    last = max(unnumbered())
    turn(hinted=[last])
    assert last not in unnumbered()


def test_all_have_their_turn(turn, monkeypatch):
    monkeypatch.setattr(reading, "OTHERS_SECONDS", 60)
    found = turn()
    assert len(found) == OTHERS + 1
    assert not unnumbered()


def test_one_that_cannot_be_read_is_told_once_until_it_can_be_read(turn, monkeypatch, caplog):
    key, who_sees = turn.project.pk, access.who_sees

    def fails(project_id, user_ids):
        if project_id == key:
            raise ZeroDivisionError("as a policy might")
        return who_sees(project_id, user_ids)

    def is_found():
        return key in {each.news.project_id for each in turn(hinted=[key])}

    assert is_found()
    for times in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(access, "who_sees", fails)
            assert not any(is_found() for _ in range(3))
        assert caplog.text.count(f"Project {key} cannot be read") == times
        assert is_found()
