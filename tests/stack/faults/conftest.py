"""One stack for all faults: to start it takes longer than to hit it."""

from collections.abc import Iterator

import pytest

from tests.stack.faults.site import Site, own_site


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with own_site(tmp_path_factory.mktemp("faults")) as site:
        yield site
