"""`/api/v1/pm/tasks/` is `site:v1:django_pm:task-list`."""

from django.contrib import admin
from django.urls import include, path

v1 = [path("pm/", include("django_pm.api.urls"))]

api = [path("v1/", include((v1, "v1")))]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("ops/", include("django_pm.health.urls")),
    path("api/", include((api, "site"))),
]
