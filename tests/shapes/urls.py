"""What all of these sites serve, unless they say otherwise."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("django_pm.health.urls")),
    path("", include("django_pm.api.urls")),
]
