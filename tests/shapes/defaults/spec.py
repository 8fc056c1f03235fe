"""What Django has by default suits, and the one setting that does not is told of."""

import pytest
from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from tests.api.support import send


def test_what_is_not_set() -> None:
    for name in ("USE_TZ", "TIME_ZONE", "DEFAULT_AUTO_FIELD", "LANGUAGE_CODE", "CACHES", "REST_FRAMEWORK"):
        assert not settings.is_overridden(name)
    assert (settings.USE_TZ, settings.TIME_ZONE) == (True, "America/Chicago")


@pytest.mark.django_db
def test_a_project_has_the_time_zone_of_django(api) -> None:
    assert send(api, "POST", "/projects/", {"name": "Moon base"}).json()["time_zone"] == "America/Chicago"


def test_without_time_zones_nothing_begins() -> None:
    with override_settings(USE_TZ=False):
        assert [message.id for message in checks.run_checks(tags=["django_pm"])] == ["django_pm.E007"]
        with pytest.raises(SystemCheckError, match="USE_TZ = True"):
            call_command("check")
