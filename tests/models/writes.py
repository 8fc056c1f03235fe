"""The ways in which host code writes a task's status. What holds for one of them has to hold for all."""

from asgiref.sync import async_to_sync
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.db.models import Case, F, OuterRef, Subquery, Value, When
from django.test import RequestFactory

from django_pm.models import Project, Status, Task


def rows(task):
    return Task.objects.filter(pk=task.pk)


def save(task, status):
    found = rows(task).get()
    found.status = status
    found.save()


def save_only_status(task, status):
    found = rows(task).get()
    found.status = status
    found.save(update_fields=["status"])


def save_some_columns_from_an_iterator(task, status):
    found = rows(task).get()
    found.status = status
    found.save(update_fields=iter(("description", "status")))


def save_with_only_the_status_loaded(task, status):
    found = rows(task).only("status").get()
    found.status = status
    found.save()


def save_with_the_time_deferred(task, status):
    found = rows(task).defer("completed_at").get()
    found.status = status
    found.save()


def save_with_the_status_deferred(task, status):
    found = rows(task).defer("status").get()
    found.status = status
    found.save()


def save_with_nothing_loaded(task, status):
    found = rows(task).only("pk").get()
    found.status = status
    found.save(update_fields={"status"})


def save_an_enum(task, status):
    found = rows(task).get()
    found.status = Status(status)
    found.save()


def update(task, status):
    rows(task).update(status=status)


def update_an_enum(task, status):
    rows(task).update(status=Status(status))


def update_from_another_column(task, status):
    rows(task).update(description=status)
    rows(task).update(status=F("description"))


def update_by_case(task, status):
    rows(task).update(status=Case(When(pk=task.pk, then=Value(status)), default=Value("pending")))


def update_by_subquery(task, status):
    rows(task).update(description=status)
    same = Task.objects.filter(pk=OuterRef("pk"))
    rows(task).update(status=Subquery(same.values("description")[:1]))


def update_an_ordered_and_annotated_queryset(task, status):
    Task.objects.with_counts().filter(pk__in=[task.pk]).order_by("title").update(status=status)


def bulk_update(task, status):
    found = rows(task).get()
    found.status = status
    Task.objects.bulk_update([found], ["status"])


def bulk_update_several_columns(task, status):
    found = rows(task).get()
    found.status = status
    Task.objects.bulk_update([found], ["title", "status", "completed_at"])


def update_or_create(task, status):
    Task.objects.update_or_create(pk=task.pk, defaults={"status": status})


def update_through_the_project(task, status):
    Project.objects.get(pk=task.project_id).tasks.filter(pk=task.pk).update(status=status)


def update_through_the_base_manager(task, status):
    Task._base_manager.filter(pk=task.pk).update(status=status)


def save_async(task, status):
    async def write():
        found = await rows(task).aget()
        found.status = status
        await found.asave()

    async_to_sync(write)()


def save_only_status_async(task, status):
    async def write():
        found = await rows(task).only("status").aget()
        found.status = status
        await found.asave(update_fields=["status"])

    async_to_sync(write)()


def update_async(task, status):
    async def write():
        await rows(task).aupdate(status=status)

    async_to_sync(write)()


def bulk_update_async(task, status):
    async def write():
        found = await rows(task).aget()
        found.status = status
        await Task.objects.abulk_update([found], ["status"])

    async_to_sync(write)()


def update_or_create_async(task, status):
    async def write():
        await Task.objects.aupdate_or_create(pk=task.pk, defaults={"status": status})

    async_to_sync(write)()


def admin_form(task, status):
    """What the admin's change page does with a submitted form, without the page around it."""
    admin = site._registry[Task]
    request = RequestFactory().post("/")
    request.user = get_user_model()(is_superuser=True)  # whom nobody had to store
    found = rows(task).get()
    form_class = admin.get_form(request, found, fields=["project", "title", "status", "priority"])
    posted = {"project": found.project_id, "title": found.title, "status": status, "priority": found.priority}
    form = form_class(posted, instance=found)
    assert form.is_valid(), form.errors
    admin.save_model(request, form.save(commit=False), form, change=True)


CHANGES = [
    save,
    save_only_status,
    save_some_columns_from_an_iterator,
    save_with_only_the_status_loaded,
    save_with_the_time_deferred,
    save_with_the_status_deferred,
    save_with_nothing_loaded,
    save_an_enum,
    update,
    update_an_enum,
    update_from_another_column,
    update_by_case,
    update_by_subquery,
    update_an_ordered_and_annotated_queryset,
    bulk_update,
    bulk_update_several_columns,
    update_or_create,
    update_through_the_project,
    update_through_the_base_manager,
    save_async,
    save_only_status_async,
    update_async,
    bulk_update_async,
    update_or_create_async,
    admin_form,
]
"""Each takes a task, of which only the key is used, and the status that its row is to get."""


def create(project, **columns):
    return Task.objects.create(project=project, title="New", **columns)


def save_new(project, **columns):
    task = Task(project=project, title="New", **columns)
    task.save()
    return task


def save_new_by_force(project, **columns):
    task = Task(project=project, title="New", **columns)
    task.save(force_insert=True)
    return task


def create_through_the_project(project, **columns):
    return project.tasks.create(title="New", **columns)


def add_unsaved_to_the_project(project, **columns):
    task = Task(title="New", **columns)
    project.tasks.add(task, bulk=False)
    return task


def get_or_create(project, **columns):
    return Task.objects.get_or_create(project=project, title="New", defaults=columns)[0]


def update_or_create_new(project, **columns):
    return Task.objects.update_or_create(project=project, title="New", defaults=columns)[0]


def bulk_create(project, **columns):
    return Task.objects.bulk_create([Task(project=project, title="New", **columns)])[0]


def create_async(project, **columns):
    async def make():
        return await Task.objects.acreate(project=project, title="New", **columns)

    return async_to_sync(make)()


def bulk_create_async(project, **columns):
    async def make():
        return await Task.objects.abulk_create([Task(project=project, title="New", **columns)])

    return async_to_sync(make)()[0]


def get_or_create_async(project, **columns):
    async def make():
        return await Task.objects.aget_or_create(project=project, title="New", defaults=columns)

    return async_to_sync(make)()[0]


CREATIONS = [
    create,
    save_new,
    save_new_by_force,
    create_through_the_project,
    add_unsaved_to_the_project,
    get_or_create,
    update_or_create_new,
    bulk_create,
    create_async,
    bulk_create_async,
    get_or_create_async,
]
"""Each takes a project and columns of a new task, and returns the task."""
