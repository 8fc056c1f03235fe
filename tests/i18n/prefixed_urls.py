"""The API where the path begins with the language."""

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

urlpatterns = i18n_patterns(path("", include("django_pm.api.urls")))
