"""The URLs of the test host: the API where the design's paths say, and the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("django_pm.health.urls")),
    path("", include("django_pm.api.urls")),
]
