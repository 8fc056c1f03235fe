"""The pages of the example site: the start page, and the one that shows events as they come."""

from typing import Any

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.views.generic import TemplateView

from demo import guide


class HomeView(TemplateView):
    """Says what runs here and where to go next. Names and the password are shown by the demo only."""

    template_name = "home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the sample accounts and requests, in the demo."""
        context = super().get_context_data(**kwargs)
        if settings.DEMO:
            context["accounts"] = guide.accounts()
            context["requests"] = guide.requests(self.request.build_absolute_uri("/"))
            context["password"] = guide.PASSWORD
        return context


class LiveView(LoginRequiredMixin, TemplateView):
    """Shows what happens in the projects of whoever looks; the demo suggests a request that makes something happen."""

    template_name = "live.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add a request that adds something, in the demo."""
        context = super().get_context_data(**kwargs)
        if settings.DEMO:
            requests = guide.requests(self.request.build_absolute_uri("/"))
            context["request_to_try"] = next((request for request in requests if " -d " in request.command), None)
        return context
