"""The pages of the example site: the start page, the one that shows events as they come, and the demo's mail."""

from typing import Any

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.views.generic import TemplateView

from demo import guide, mailbox


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


class MailPage(LoginRequiredMixin, TemplateView):
    """There only where mail stays on this machine, and only for those who have signed in."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer 404 where mail goes to a server."""
        if settings.MAIL_FOLDER is None:
            raise Http404
        return super().dispatch(request, *args, **kwargs)


class MailboxView(MailPage):
    """Lists the mail that the demo has sent to whoever looks, and for superusers to everybody."""

    template_name = "mailbox.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the messages."""
        return super().get_context_data(letters=mailbox.letters_for(self.request.user), **kwargs)


class LetterView(MailPage):
    """Shows one of these messages."""

    template_name = "letter.html"
    # What a message brings along is shown, and nothing more: no script runs, and nothing is fetched but the style of
    # this site; messages have theirs inline. Their forms are held back by the sandbox. The form beside them posts to
    # SITE_URL, which may not be the address that this page was opened by.
    content_security_policy = (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the message."""
        letter = mailbox.letter_for(self.request.user, self.kwargs["name"])
        if letter is None:
            raise Http404
        return super().get_context_data(letter=letter, **kwargs)

    def render_to_response(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Add what the browser is to hold the page to; the document of the message, inside it, inherits that."""
        response = super().render_to_response(*args, **kwargs)
        response["Content-Security-Policy"] = self.content_security_policy
        return response
