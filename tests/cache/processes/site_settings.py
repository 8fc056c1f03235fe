"""The test host with the caches that a test names, as JSON, in `PM_TEST_CACHES`; it counts requests there as well."""

import json
import os

from tests.settings import *  # noqa: F403

CACHES = json.loads(os.environ["PM_TEST_CACHES"])
DJANGO_PM = {"THROTTLE_USER": "1000000/min", "THROTTLE_ANONYMOUS": "1000000/min"}
DEBUG = True  # for the header that says where an answer came from
DATABASES["default"]["CONN_MAX_AGE"] = 60  # noqa: F405
