"""The example site in a process of its own, on the database that this run of the suite is about."""

from collections.abc import Iterator

import pytest

from tests.example.site import HTTP_SERVER, Site, own_database

OUTSIDER = "lena"
ADD_OUTSIDER = f"from accounts.models import User; User.objects.create_user('{OUTSIDER}', password='demo')"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running demo without throttles, and with somebody who is a member of nothing."""
    with own_database() as variables:
        site = Site(tmp_path_factory.mktemp("fuzzed"), **variables)
        site.must_manage("migrate", "--verbosity", "0")
        site.must_manage("demo_seed")
        site.must_manage("shell", "-c", ADD_OUTSIDER)
        # Not `runserver`: it sends an answer in two parts, and the second waits 40 ms for the receipt of the first.
        with site.served(*HTTP_SERVER):
            yield site
