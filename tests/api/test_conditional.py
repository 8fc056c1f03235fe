"""ETag, If-None-Match and If-Match: a reader keeps its copy, a writer overwrites only what it has seen."""

import pytest
from django.db.models.signals import post_save

from django_pm.models import Comment, Task
from tests.api.support import at_once, everything_stored, new_task, send, shown
from tests.factories import make_comment, make_member, make_task, make_token, make_user

KINDS = ["project", "task", "comment", "member", "token"]


@pytest.fixture
def paths(project, owner):
    """The path of one object of each kind."""
    task = make_task(project, created_by=owner)
    member = make_member(project)
    return {
        "project": f"/projects/{project.pk}/",
        "task": f"/tasks/{task.pk}/",
        "comment": f"/comments/{make_comment(task, owner).pk}/",
        "member": f"/projects/{project.pk}/members/{member.pk}/",
        "token": f"/tokens/{make_token(owner).pk}/",
    }


EDITS = {
    "project": {"name": "Mars base"},
    "task": {"title": "Fill"},
    "comment": {"content": "Less deep."},
    "member": {"role": "viewer"},
}


def tag_of(client, path):
    return client.get(path)["ETag"]


@pytest.mark.django_db
class TestReading:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_copy_that_is_still_good_is_not_sent_again(self, api, paths, kind):
        first = api.get(paths[kind])
        again = api.get(paths[kind], HTTP_IF_NONE_MATCH=first["ETag"])
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])

    @pytest.mark.parametrize("kind", EDITS)
    def test_a_copy_of_what_was_edited_since_is(self, api, paths, kind):
        before = tag_of(api, paths[kind])
        send(api, "PATCH", paths[kind], EDITS[kind])
        after = api.get(paths[kind], HTTP_IF_NONE_MATCH=before)
        assert after.status_code == 200
        assert after["ETag"] != before

    def test_by_the_host_too(self, api, paths):
        before = tag_of(api, paths["task"])
        Task.objects.update(title="Fill")
        assert api.get(paths["task"], HTTP_IF_NONE_MATCH=before).status_code == 200

    def test_a_count_that_moved_makes_another_copy(self, api, paths):
        for path, add in (("task", make_comment), ("project", lambda task: make_task(task.project))):
            before = tag_of(api, paths[path])
            add(Task.objects.get())
            assert api.get(paths[path], HTTP_IF_NONE_MATCH=before).status_code == 200

    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other",W/{}', "*"])
    def test_every_form_of_the_header(self, api, paths, form):
        tag = tag_of(api, paths["task"])
        assert api.get(paths["task"], HTTP_IF_NONE_MATCH=form.format(tag)).status_code == 304

    @pytest.mark.parametrize("header", ["", '"', "garbage", '"other"', "W/", '"a.b"', ",,,"])
    def test_what_names_no_copy_is_no_condition(self, api, paths, header):
        assert api.get(paths["task"], HTTP_IF_NONE_MATCH=header).status_code == 200

    def test_head_has_the_tag_of_get(self, api, paths):
        assert api.head(paths["task"])["ETag"] == tag_of(api, paths["task"])

    def test_everybody_reads_the_same_tag(self, api, signed_in, project, paths):
        other = signed_in(make_member(project).user)
        for path in (path for kind, path in paths.items() if kind != "token"):
            assert tag_of(api, path) == tag_of(other, path)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    @pytest.mark.parametrize("metadata", [{}, {"n": 1.0, "big": 1e30, "b": [1, {"a": None}]}])
    def test_a_write_answers_with_what_is_read_next(self, api, project, method, metadata):
        """Body and tag, so that a client may go on editing without reading again."""
        make_comment(task := make_task(project))
        path = "/tasks/" if method == "POST" else f"/tasks/{task.pk}/"
        body = new_task(project, status="completed", due_date="2030-01-01T01:00:00+02:00", metadata=metadata)
        written = send(api, method, path, body)
        read = api.get(f"/tasks/{written.json()['id']}/")
        assert written.json() == read.json()
        assert written["ETag"] == read["ETag"]

    def test_also_where_a_handler_of_the_host_wrote_the_row(self, api, project):
        def retitle(sender, instance, **kwargs):
            Task.objects.filter(pk=instance.pk).update(title=instance.title.upper())

        post_save.connect(retitle, sender=Task)
        try:
            written = send(api, "POST", "/tasks/", new_task(project))
        finally:
            post_save.disconnect(retitle, sender=Task)
        assert written.json()["title"] == "DIG"
        assert written["ETag"] == tag_of(api, f"/tasks/{written.json()['id']}/")

    def test_every_kind_answers_its_creation_with_what_is_read_next(self, api, project, paths):
        newcomer = make_user()
        for path, body in {
            "/projects/": {"name": "Mars"},
            f"{paths['task']}comments/": {"content": "Why?"},
            f"/projects/{project.pk}/members/": {"user": shown(newcomer), "role": "viewer"},
        }.items():
            written = send(api, "POST", path, body)
            read = api.get(f"{'/comments/' if 'comments' in path else path}{written.json()['id']}/")
            assert written.json() == read.json()
            assert written["ETag"] == read["ETag"]


@pytest.mark.django_db
class TestWriting:
    @pytest.mark.parametrize("kind", EDITS)
    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_what_was_edited_since_is_left_alone(self, api, paths, kind, method):
        seen = tag_of(api, paths[kind])
        send(api, "PATCH", paths[kind], EDITS[kind])
        before = everything_stored()
        late = api.generic(method, paths[kind], b'{"x": 1}', content_type="application/json", HTTP_IF_MATCH=seen)
        assert late.status_code == 412
        assert set(late.json()) == {"detail"}
        assert everything_stored() == before

    @pytest.mark.parametrize("kind", EDITS)
    def test_what_is_as_it_was_seen_is_written(self, api, paths, kind):
        seen = tag_of(api, paths[kind])
        written = send(api, "PATCH", paths[kind], EDITS[kind], HTTP_IF_MATCH=seen)
        assert written.status_code == 200
        assert send(api, "PATCH", paths[kind], EDITS[kind], HTTP_IF_MATCH=written["ETag"]).status_code == 200
        assert api.delete(paths[kind], HTTP_IF_MATCH=tag_of(api, paths[kind])).status_code == 204

    def test_put(self, api, project, paths):
        seen = tag_of(api, paths["task"])
        assert send(api, "PUT", paths["task"], new_task(project, title="A"), HTTP_IF_MATCH=seen).status_code == 200
        assert send(api, "PUT", paths["task"], new_task(project, title="B"), HTTP_IF_MATCH=seen).status_code == 412
        assert Task.objects.get().title == "A"

    def test_a_comment_by_somebody_does_not_stop_an_edit(self, api, paths):
        seen = tag_of(api, paths["task"])
        make_comment(Task.objects.get())
        assert tag_of(api, paths["task"]) != seen
        assert send(api, "PATCH", paths["task"], {"title": "Fill"}, HTTP_IF_MATCH=seen).status_code == 200

    def test_a_task_in_it_does_not_stop_an_edit_of_the_project(self, api, project, paths):
        seen = tag_of(api, paths["project"])
        make_task(project, status="completed")
        assert send(api, "PATCH", paths["project"], {"name": "Mars"}, HTTP_IF_MATCH=seen).status_code == 200

    def test_an_edit_by_the_host_does(self, api, paths):
        seen = tag_of(api, paths["task"])
        Task.objects.update(priority="high")
        assert send(api, "PATCH", paths["task"], {"title": "Fill"}, HTTP_IF_MATCH=seen).status_code == 412

    @pytest.mark.parametrize("form", ["*", "W/{}", '"other", {}'])
    def test_every_form_of_the_header(self, api, paths, form):
        header = form.format(tag_of(api, paths["task"]))
        assert send(api, "PATCH", paths["task"], {"title": "Fill"}, HTTP_IF_MATCH=header).status_code == 200

    @pytest.mark.parametrize("header", ["", '"', "garbage", '"other"', '""', ".", '".x"'])
    def test_a_header_that_names_nothing_is_a_condition_that_fails(self, api, paths, header):
        """Better refused than overwritten: the client meant something by it."""
        assert send(api, "PATCH", paths["task"], {"title": "Fill"}, HTTP_IF_MATCH=header).status_code == 412

    def test_only_if_there_is_none_yet(self, api, project, paths):
        body = new_task(project)
        assert send(api, "PUT", paths["task"], body, HTTP_IF_NONE_MATCH="*").status_code == 412
        assert send(api, "POST", "/tasks/", body, HTTP_IF_NONE_MATCH="*").status_code == 201

    def test_who_may_not_write_is_not_told_whether_it_was_edited(self, signed_in, project, paths):
        viewer = signed_in(make_member(project, role="viewer").user)
        for header in ('"other"', tag_of(viewer, paths["task"])):
            assert send(viewer, "PATCH", paths["task"], {"title": "x"}, HTTP_IF_MATCH=header).status_code == 403

    def test_who_may_not_see_is_not_told_that_it_is_there(self, signed_in, paths):
        outsider = signed_in(make_user())
        for method in ("GET", "PATCH", "DELETE"):
            answer = send(outsider, method, paths["task"], HTTP_IF_MATCH='"x"', HTTP_IF_NONE_MATCH="*")
            assert answer.status_code == 404
            assert "ETag" not in answer


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestMany:
    EDITORS = 32

    @pytest.mark.parametrize("kind", ["project", "task", "comment", "member"])
    def test_of_many_who_edit_what_they_all_have_seen_one_wins(self, api, signed_in, owner, paths, kind):
        seen = tag_of(api, paths[kind])
        fields = {"project": "name", "task": "title", "comment": "content"}
        clients = [signed_in(owner) for _ in range(self.EDITORS)]
        answers = at_once(
            *(
                lambda c=client, n=number: send(
                    c,
                    "PATCH",
                    paths[kind],
                    {fields[kind]: f"by {n}"} if kind in fields else {"role": ["viewer", "manager"][n % 2]},
                    HTTP_IF_MATCH=seen,
                )
                for number, client in enumerate(clients)
            )
        )
        codes = [answer.status_code for answer in answers]
        assert sorted(codes) == [200] + [412] * (self.EDITORS - 1)
        winner = answers[codes.index(200)]
        assert api.get(paths[kind]).json() == winner.json()

    def test_of_an_edit_and_a_deletion_one_wins(self, api, signed_in, owner, paths):
        seen = tag_of(api, paths["task"])
        clients = [signed_in(owner) for _ in range(8)]
        answers = at_once(
            *(
                lambda c=client, n=number: send(
                    c, "DELETE" if n % 2 else "PATCH", paths["task"], {"title": f"{n}"}, HTTP_IF_MATCH=seen
                )
                for number, client in enumerate(clients)
            )
        )
        codes = [answer.status_code for answer in answers]
        assert sum(code in {200, 204} for code in codes) == 1
        assert set(codes) <= {200, 204, 404, 412}
        assert Task.objects.exists() is (200 in codes)

    def test_nothing_is_lost_by_those_who_read_again_and_retry(self, api, signed_in, owner, paths):
        """Each of many appends a letter of its own, and goes on until it was let in."""
        writers = [signed_in(owner) for _ in range(8)]

        def append(client, letter):
            for _ in range(200):
                read = client.get(paths["comment"])
                body = {"content": read.json()["content"] + letter}
                if send(client, "PATCH", paths["comment"], body, HTTP_IF_MATCH=read["ETag"]).status_code == 200:
                    return
            raise AssertionError("never let in")

        letters = "abcdefgh"
        before = Comment.objects.get().content
        at_once(*(lambda c=c, x=x: append(c, x) for c, x in zip(writers, letters, strict=True)))
        assert sorted(Comment.objects.get().content.removeprefix(before)) == sorted(letters)
