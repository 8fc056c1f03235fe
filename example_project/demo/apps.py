"""The demo app: sample content, and the site's start page."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Sample content for trying things out."""

    name = "demo"
    verbose_name = "Demo"
