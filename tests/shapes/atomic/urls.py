"""The usual, and two views of the site's own."""

from django.urls import path

from tests.shapes.atomic.views import complete_all
from tests.shapes.urls import urlpatterns as usual

urlpatterns = [*usual, path("site/complete-all/<int:project>/", complete_all)]
