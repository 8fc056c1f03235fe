"""The addresses of the example site."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog

from accounts.views import TokenView
from demo.views import HomeView, LetterView, LiveView, MailboxView

urlpatterns = [
    path("", HomeView.as_view(), name="home"),
    path("words.js", JavaScriptCatalog.as_view(packages=["demo"]), name="javascript-catalog"),
    path("live/", LiveView.as_view(), name="live"),
    path("mailbox/", MailboxView.as_view(), name="mailbox"),
    path("mailbox/<slug:name>/", LetterView.as_view(), name="letter"),
    path("admin/", admin.site.urls),
    path("accounts/login/", auth_views.LoginView.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("auth/token/", TokenView.as_view(), name="token"),
    # For probes and Prometheus: /healthz, /readyz, /metrics.
    path("", include("django_pm.health.urls")),
    # The whole of django-pm's REST API: /projects/, /tasks/, /comments/, /schema/, /docs/.
    path("", include("django_pm.api.urls")),
]
