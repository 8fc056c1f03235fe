"""The accounts app: the site's own user model."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users of the example site."""

    name = "accounts"
    verbose_name = "Accounts"
