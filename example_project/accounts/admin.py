"""Users in the admin: Django's own pages with this site's column added."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from accounts.models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Django's user pages plus the job title."""

    list_display = (*DjangoUserAdmin.list_display, "job_title")
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), ("Work", {"fields": ("job_title",)}))
