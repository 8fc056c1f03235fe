"""The host's users: found by what people type, shown by a name the host chooses."""

import uuid

import pytest
from django.contrib.auth import get_user_model

from django_pm.users import active_users, display_name, find_user, full_name_or_login, has_column
from tests.factories import login_name, make_user

pytestmark = pytest.mark.django_db

with_number_keys = pytest.mark.skipif(
    get_user_model()._meta.pk.get_internal_type() == "UUIDField", reason="these users have UUIDs"
)
with_uuid_keys = pytest.mark.skipif(
    get_user_model()._meta.pk.get_internal_type() != "UUIDField", reason="these users have numbers"
)


def test_found_by_login_name():
    user = make_user("ada")
    make_user("adam")
    assert find_user(login_name("ada")) == user


@pytest.mark.parametrize("text", ["", "nobody", "ada", "0", "-1", "None", "\ud800", "9" * 30])
def test_unknown_names_find_nobody(text):
    make_user("somebody")
    assert find_user(text) is None


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 2**64, 10**40])
def test_unknown_numbers_find_nobody(number):
    make_user("somebody")
    assert find_user(number) is None


def test_deactivated_users_are_not_found():
    user = make_user("ada", is_active=False)
    assert find_user(login_name("ada")) is None
    assert find_user(str(user.pk) if has_uuid_keys() else user.pk) is None
    assert user not in active_users()


def has_uuid_keys():
    return get_user_model()._meta.pk.get_internal_type() == "UUIDField"


@with_number_keys
def test_a_number_is_a_key_and_a_string_a_login_name():
    user = make_user("ada")
    namesake = make_user(str(user.pk))
    assert find_user(user.pk) == user
    assert find_user(str(user.pk)) == namesake, "digits in quotes are what somebody is called"


@with_uuid_keys
def test_a_string_that_is_a_key_is_one():
    user = make_user("ada")
    assert find_user(str(user.pk)) == user
    assert find_user(str(uuid.uuid4())) is None


@with_uuid_keys
def test_nobody_poses_as_somebody_by_a_login_name():
    user = make_user("ada")
    impostor = make_user("mallory")
    get_user_model()._default_manager.filter(pk=impostor.pk).update(email=str(user.pk))
    assert find_user(str(user.pk)) == user


def test_full_name_where_there_is_one_else_the_login_name():
    user = make_user("ada")
    assert full_name_or_login(user) == login_name("ada")
    if has_column("full_name"):
        user.full_name = "Ada Byron"
    else:
        user.first_name, user.last_name = "Ada", "Byron"
    assert full_name_or_login(user) == "Ada Byron"


class Nameless:
    """A user model without names."""

    def get_username(self):
        return "n-17"


def test_a_model_without_names_shows_the_login_name():
    assert full_name_or_login(Nameless()) == "n-17"


def shout(user):
    return user.get_username().upper() * 100


def test_the_host_chooses_the_name_shown(settings):
    settings.DJANGO_PM = {"USER_DISPLAY": "tests.access.test_users.shout"}
    shown = display_name(Nameless())
    assert shown.startswith("N-17N-17")
    assert len(shown) == 255, "cut to what a comment's author may be"


def test_columns_are_known_by_the_model():
    assert has_column("is_active")
    assert has_column("is_superuser")
    assert not has_column("shoe_size")
