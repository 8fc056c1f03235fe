"""The three addresses that a host includes, at its root or below any prefix."""

from django.urls import path

from django_pm.health import views

app_name = "django_pm_health"

urlpatterns = [
    path("healthz", views.alive, name="alive"),
    path("readyz", views.ready, name="ready"),
    path("metrics", views.metrics, name="metrics"),
]
