"""The example site with an app more, which hears of every event and lets the load ask as often as it likes."""

from config.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "consumer"]  # noqa: F405
DJANGO_PM = DJANGO_PM | {"THROTTLE_USER": "1000000/min"}  # noqa: F405
