"""The start page of the example site."""

from typing import Any

from django.conf import settings
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
