"""The site's own view of tasks, before ours: the first pattern that matches is taken."""

from django.urls import path

from django_pm.api.urls import DETAIL, LIST
from tests.shapes.side_table.api import BillableTaskViewSet
from tests.shapes.urls import urlpatterns as usual

urlpatterns = [
    path("tasks/", BillableTaskViewSet.as_view(LIST)),
    path("tasks/<str:id>/", BillableTaskViewSet.as_view(DETAIL)),
    *usual,
]
