"""The app of tenants, which has its tables filled as users and projects are made."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tests.shapes.tenants"
    label = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tests.shapes.tenants import tenancy

        tenancy.connect()
