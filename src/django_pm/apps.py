"""The Django app: label ``django_pm``, installed by its dotted name."""

from importlib.util import find_spec

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DjangoPMConfig(AppConfig):
    name = "django_pm"
    label = "django_pm"
    verbose_name = _("Project management")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_pm import checks  # noqa: F401 (registers the system checks)
        from django_pm.events import subscribe
        from django_pm.health import instruments
        from django_pm.models import receivers
        from django_pm.services.notifications import notifying, watching

        receivers.connect()
        subscribe(notifying.NAME, notifying.notify, types=notifying.TYPES, begin=watching.involve_everybody)
        instruments.connect()
        if find_spec("channels"):
            from django_pm.realtime import wake

            wake.connect()
