"""Task details in the admin."""

from django.contrib import admin

from worklog.models import TaskDetails


@admin.register(TaskDetails)
class TaskDetailsAdmin(admin.ModelAdmin):
    """One line per task that has details."""

    list_display = ("task", "cost_centre", "estimate_minutes")
    list_select_related = ("task",)
    list_filter = ("cost_centre",)
    search_fields = ("task__title", "cost_centre")
    raw_id_fields = ("task",)
