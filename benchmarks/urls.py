"""The API, and beside it what it is compared with: its own views without a part of what they do, and plain DRF."""

from django.urls import include, path

from benchmarks.plain.api import PlainTaskViewSet, UnrecordedTaskViewSet
from benchmarks.reading import views as reading

READ = {"get": "list"}
LIST = {"post": "create"}
DETAIL = {"patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("", include("django_pm.api.urls")),
    path("unrecorded/tasks/", UnrecordedTaskViewSet.as_view(LIST)),
    path("unrecorded/tasks/<str:id>/", UnrecordedTaskViewSet.as_view(DETAIL)),
    path("plain/tasks/", PlainTaskViewSet.as_view(LIST)),
    path("plain/tasks/<int:pk>/", PlainTaskViewSet.as_view(DETAIL)),
    path("conventional/tasks/", reading.ConventionalViewSet.as_view(READ)),
    path("unkept/tasks/", reading.UnkeptTaskViewSet.as_view(READ)),
    path("serialized/tasks/", reading.SerializedTaskViewSet.as_view(READ)),
    path("made/tasks/", reading.MadeTaskViewSet.as_view(READ)),
    path("constant/", reading.ConstantView.as_view()),
]
