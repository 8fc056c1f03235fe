"""Who is told of what, and why: each rule through the API and through the host's own code."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from django_pm.context import acting
from django_pm.models import Level, Notification, NotificationPreferences, ProjectChannels, Role, Watch, Watched
from django_pm.services import reports
from django_pm.services.notifications import watching
from django_pm.services.notifications.mentions import OF_THE_NAME, logins_in
from tests import factories
from tests.factories import login_name

pytestmark = pytest.mark.django_db


def test_whoever_is_given_a_task(write, project, people, told):
    ada, ben = people("ada"), people("ben")
    told()
    task = write.task(ada, project, assignee=ben)
    assert told() == {ben: [("assigned", "task")]}
    cleo = people("cleo")
    told()
    write.edit(ben, task, assignee=cleo)
    assert told() == {cleo: [("assigned", "task")]}


def test_an_actor_who_is_no_user(project, people, told):
    """A host's own code may act as somebody whom the user model does not know."""
    ben = people("ben")
    told()
    with acting(SimpleNamespace(pk="robot", get_username=str)):
        factories.make_task(project, assignee=ben)
    assert told() == {ben: [("assigned", "task")]}


def test_choices_that_are_none(project, people, told):
    """One person's broken row does not keep anybody from being told."""
    ben, cleo = people("ben"), people("cleo")
    told()
    broken = {"assigned": ["mail", "digest"], "mentioned": "mail"}
    NotificationPreferences.objects.create(user=ben, channels=broken)
    ProjectChannels.objects.create(user=ben, project_id=project.pk, channels=broken)
    factories.make_task(project, assignee=ben, description=f"@{login_name('cleo')}")
    assert told() == {ben: [("assigned", "task")], cleo: [("mentioned", "task")]}
    assert Notification.objects.get(recipient=ben, reason="assigned").by_mail == "mail", "as the site has it"


def test_nobody_is_told_of_their_own_act(write, project, people, told):
    ada = people("ada")
    told()
    task = write.task(ada, project, assignee=ada, description=f"@{login_name('ada')}")
    write.comment(ada, task, f"@{login_name('ada')} to myself")
    write.edit(ada, task, status="completed")
    assert told() == {}


def test_a_comment_reaches_whoever_has_to_do_with_the_task(write, project, people, told):
    maker, has, had, spoke, named, other = (people(name) for name in ("maker", "has", "had", "spoke", "named", "other"))
    task = write.task(maker, project, assignee=had)
    write.edit(maker, task, assignee=has)
    write.comment(spoke, task, f"What does @{login_name('named')} think?")
    told()
    write.comment(maker, task, "Nothing.")
    assert told() == {user: [("commented", "comment")] for user in (has, had, spoke, named)}
    write.comment(other, task, "I do.")
    assert told() == {user: [("commented", "comment")] for user in (maker, has, had, spoke, named)}


def test_a_mention_counts_for_whoever_sees_it(write, project, people, told):
    ada, ben = people("ada"), people("ben", Role.VIEWER)
    people("stranger", ""), people("cleo")
    told()
    text = f"@{login_name('ben')}, @{login_name('stranger')}, @nobody and mail@{login_name('cleo')}"
    task = write.task(ada, project, description=text)
    assert told() == {ben: [("mentioned", "task")]}
    write.comment(ada, task, text)
    assert told() == {ben: [("mentioned", "comment")]}, "one reason, though ben has to do with the task by now"
    factories.make_member(project, people("stranger"))
    told()
    write.comment(ada, task, "Nobody in particular.")
    assert told() == {ben: [("commented", "comment")]}, "a mention that they could not see involved nobody"


def test_an_edit_tells_the_newly_mentioned(write, project, people, told):
    ada, ben, cleo = people("ada"), people("ben"), people("cleo")
    task = write.task(ada, project, description=f"@{login_name('ben')}")
    comment = write.comment(ada, task, f"@{login_name('ben')}")
    told()
    write.edit(ada, task, description=f"@{login_name('ben')} @{login_name('cleo')}")
    assert told() == {cleo: [("mentioned", "task")]}
    write.edit_comment(ada, comment, f"@{login_name('cleo')} @{login_name('ben')}")
    assert told() == {cleo: [("mentioned", "comment")]}
    write.edit_comment(ada, comment, f"@{login_name('ben')}")
    assert told() == {}
    assert ben


def test_mentions_in_a_text_too_long_for_the_log(write, project, people, told):
    ada, ben, cleo = people("ada"), people("ben"), people("cleo")
    told()
    task = write.task(ada, project, description="dig " * 2_000 + f"@{login_name('ben')}")
    assert told() == {ben: [("mentioned", "task")]}
    write.edit(ada, task, description="dug " * 2_000 + f"@{login_name('ben')} @{login_name('cleo')}")
    assert told() == {cleo: [("mentioned", "task")]}


def test_a_status_reaches_whoever_watches(write, project, people, told):
    ada, of_task, of_project, mutes, silenced = (
        people(name) for name in ("ada", "of_task", "of_project", "mutes", "silenced")
    )
    task = write.task(ada, project, assignee=mutes)
    watching.say(user=of_task, kind=Watched.TASK, key=task.pk, level=Level.WATCHING)
    watching.say(user=of_project, kind=Watched.PROJECT, key=project.pk, level=Level.WATCHING)
    watching.say(user=mutes, kind=Watched.TASK, key=task.pk, level=Level.MUTED)
    watching.say(user=silenced, kind=Watched.PROJECT, key=project.pk, level=Level.MUTED)
    told()
    write.edit(ada, task, status="in_progress")
    assert told() == {user: [("status_changed", "task")] for user in (of_task, of_project)}
    write.edit(ada, task, title="Dig deeper")
    assert told() == {}


def test_one_who_watches_both_is_told_once(write, project, people, told):
    ada, ben = people("ada"), people("ben")
    task = write.task(ada, project)
    for kind, key in ((Watched.TASK, task.pk), (Watched.PROJECT, project.pk)):
        watching.say(user=ben, kind=kind, key=key, level=Level.WATCHING)
    told()
    write.comment(ada, task, "Done?")
    assert told() == {ben: [("commented", "comment")]}


def test_what_one_said_of_the_task_comes_first(write, project, people, told):
    ada, ben, cleo = people("ada"), people("ben"), people("cleo")
    task = write.task(ada, project)
    watching.say(user=ben, kind=Watched.PROJECT, key=project.pk, level=Level.MUTED)
    watching.say(user=ben, kind=Watched.TASK, key=task.pk, level=Level.WATCHING)
    watching.say(user=cleo, kind=Watched.PROJECT, key=project.pk, level=Level.WATCHING)
    watching.say(user=cleo, kind=Watched.TASK, key=task.pk, level=Level.MUTED)
    told()
    write.comment(ada, task, "Done?")
    assert told() == {ben: [("commented", "comment")]}


def test_a_mention_passes_a_mute(write, project, people, told):
    ada, ben = people("ada"), people("ben")
    task = write.task(ada, project)
    watching.say(user=ben, kind=Watched.TASK, key=task.pk, level=Level.MUTED)
    watching.say(user=ben, kind=Watched.PROJECT, key=project.pk, level=Level.MUTED)
    told()
    write.comment(ada, task, f"@{login_name('ben')}!")
    assert told() == {ben: [("mentioned", "comment")]}
    write.comment(ada, task, "Well?")
    assert told() == {}, "what ben said is not changed by what happens"


def test_whoever_is_added_to_a_project(write, project, owner, told):
    ben = factories.make_user("ben")
    told()
    write.member(owner, project, ben)
    assert told() == {ben: [("added", "member")]}


def test_whoever_lost_access_is_not_told(write, project, people, told):
    ada, ben = people("ada"), people("ben")
    task = write.task(ada, project, assignee=ben)
    told()
    ben.pm_memberships.all().delete()
    write.comment(ada, task, "Alone again.")
    assert told() == {}
    factories.make_member(project, ben)
    told()
    write.comment(ada, task, "Welcome back.")
    assert told() == {ben: [("commented", "comment")]}, "the subscription has outlived the access"


def test_a_report_is_told_to_whoever_chose_to_hear_of_it(project, owner, people, told):
    manager, other, member = people("manager", Role.MANAGER), people("other", Role.MANAGER), people("member")
    for user in (manager, member):
        NotificationPreferences.objects.create(user=user, channels={"report_ready": ["in_app"]})
    NotificationPreferences.objects.create(user=other, reports=True)  # has it mailed, which is another row
    told()
    report, _is_new = reports.make_today(actor=None, project=project)
    assert told() == {manager: [("report_ready", "report")]}
    reports.rebuild(actor=None, report=report)
    assert told() == {}


def test_a_task_that_moves_is_no_news_to_whoever_has_it(project, owner, people, told):
    ada, ben, cleo = people("ada"), people("ben"), people("cleo")
    elsewhere = factories.make_project(owner, {ada: Role.MEMBER, ben: Role.MEMBER, cleo: Role.MEMBER})
    task = factories.make_task(project, created_by=ada, assignee=ben)
    told()
    task.project = elsewhere
    task.save()
    assert told() == {}
    task.project, task.assignee = project, cleo
    task.save()
    assert told() == {cleo: [("assigned", "task")]}


def test_whoever_had_to_do_with_a_task_before_there_was_an_inbox(project, people):
    from django_pm.events.relay import relay_events
    from django_pm.models import Notification

    maker, has, spoke = people("maker"), people("has"), people("spoke")
    task = factories.make_task(project, created_by=maker, assignee=has)
    factories.make_comment(task, spoke)
    relay_events()
    assert not Notification.objects.exists(), "nobody is told of the past"
    factories.make_comment(task)
    relay_events()
    assert set(Notification.objects.values_list("recipient", "reason")) == {
        (user.pk, "commented") for user in (maker, has, spoke)
    }


def test_a_name_is_known_in_each_form_of_its_letters(project, people, told):
    """Some keyboards write a letter and its accent apart, as no login name is kept."""
    ben = factories.make_user("jos\N{LATIN SMALL LETTER E WITH ACUTE}")
    factories.make_member(project, ben)
    told()
    apart = login_name("jose\N{COMBINING ACUTE ACCENT}")
    factories.make_task(project, description=f"Ask @{apart}!")
    assert told() == {ben: [("mentioned", "task")]}


@pytest.mark.parametrize("end", ["", ".", "...", "-", "." * 100, ".+-"])
def test_what_ends_a_sentence_is_not_the_name(project, people, told, end):
    ben = people("ben")
    told()
    factories.make_task(project, description=f"Ask @{login_name('ben')}{end} Now.")
    assert told() == {ben: [("mentioned", "task")]}


def test_a_text_of_dots_is_few_names():
    assert len(logins_in("@a" + "." * 250)) == OF_THE_NAME + 2


def test_whoever_had_to_do_with_a_task_before_the_inbox_began(project, people, monkeypatch):
    """In pieces, and going on where it was cut off."""
    monkeypatch.setattr(watching, "BATCH", 2)
    maker, has, spoke = people("maker"), people("has"), people("spoke")
    tasks = [factories.make_task(project, created_by=maker, assignee=has) for _each in range(5)]
    for task in tasks[:3]:
        factories.make_comment(task, spoke)
        factories.make_comment(task, has)
    watching.say(user=has, kind=Watched.TASK, key=tasks[0].pk, level=Level.MUTED)
    insert, pieces = watching._insert, []

    def cut_off(pairs):
        if len(pieces) == 4:
            raise RuntimeError("cut off")
        pieces.append(pairs)
        insert(pairs)

    monkeypatch.setattr(watching, "_insert", cut_off)
    with pytest.raises(RuntimeError, match="cut off"):
        watching.involve_everybody()
    done = Watch.objects.count()
    monkeypatch.setattr(watching, "_insert", lambda pairs: pieces.append(pairs) or insert(pairs))
    watching.involve_everybody()
    assert Watch.objects.count() - done == sum(len(pairs) for pairs in pieces[4:]), "nothing is done twice"
    involved = {task.pk: watching.hearing_of(task.pk, project.pk) for task in tasks}
    everybody = {maker.pk, has.pk, spoke.pk}
    assert involved[tasks[0].pk] == everybody - {has.pk}
    assert involved[tasks[1].pk] == involved[tasks[2].pk] == everybody
    assert involved[tasks[3].pk] == involved[tasks[4].pk] == everybody - {spoke.pk}
