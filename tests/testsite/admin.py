"""The admin of the test host's users, searchable, as autocomplete fields that point at users require."""

from django.contrib import admin

from tests.testsite.models import Member


class MemberAdmin(admin.ModelAdmin):
    search_fields = ("email", "full_name")


# A swapped-out model is left alone by `register`: with `auth.User` in use this does nothing.
admin.site.register(Member, MemberAdmin)
