"""The tables of django-pm in Django's admin."""

from django.contrib import admin

from django_pm.models import Comment, Membership, Project, Task


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    list_display = ["name", "created_at", "updated_at"]
    search_fields = ["name"]
    raw_id_fields = ["created_by"]


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    list_display = ["title", "project", "status", "priority", "due_date"]
    list_filter = ["status", "priority"]
    list_select_related = ["project"]
    search_fields = ["title"]
    raw_id_fields = ["project", "assignee", "created_by"]
    readonly_fields = ["completed_at"]


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    list_display = ["project", "user", "role"]
    list_filter = ["role"]
    list_select_related = ["project", "user"]
    raw_id_fields = ["project", "user"]


@admin.register(Comment)
class CommentAdmin(admin.ModelAdmin):
    list_display = ["author", "task", "created_at"]
    list_select_related = ["task"]
    raw_id_fields = ["task", "user"]
