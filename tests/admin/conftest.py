"""Who is signed in to the admin."""

from typing import Any

import pytest
from django.test import Client

from tests.admin.support import make_staff
from tests.factories import make_superuser


@pytest.fixture
def boss(client: Client, db: None) -> Any:
    """A superuser, signed in with ``client``."""
    user = make_superuser("boss")
    client.force_login(user)
    return user


@pytest.fixture
def staff(client: Client, db: None) -> Any:
    """Somebody with Django's permissions for all that is ours and no role anywhere, signed in with ``client``."""
    user = make_staff("staff")
    client.force_login(user)
    return user
