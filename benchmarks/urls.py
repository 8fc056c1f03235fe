"""Three ways to write the same table: the API, the API's views without the recorder, and plain DRF."""

from django.urls import include, path

from benchmarks.plain.api import PlainTaskViewSet, UnrecordedTaskViewSet

LIST = {"post": "create"}
DETAIL = {"patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("", include("django_pm.api.urls")),
    path("unrecorded/tasks/", UnrecordedTaskViewSet.as_view(LIST)),
    path("unrecorded/tasks/<str:id>/", UnrecordedTaskViewSet.as_view(DETAIL)),
    path("plain/tasks/", PlainTaskViewSet.as_view(LIST)),
    path("plain/tasks/<int:pk>/", PlainTaskViewSet.as_view(DETAIL)),
]
