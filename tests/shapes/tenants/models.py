"""Who and what belongs to which tenant, in tables beside those of users and projects."""

from django.conf import settings
from django.db import models

from django_pm.models import Project


class Tenant(models.Model):
    domain = models.CharField(max_length=253, unique=True)

    class Meta:
        app_label = "tenants"

    def __str__(self) -> str:
        return self.domain


class Resident(models.Model):
    """The tenant of a user. Somebody who works for two has an account with each."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE)
    tenant = models.ForeignKey(Tenant, related_name="residents", on_delete=models.CASCADE)

    class Meta:
        app_label = "tenants"

    def __str__(self) -> str:
        return f"{self.user_id} of {self.tenant_id}"


class Premises(models.Model):
    """The tenant of a project: that of whoever made it."""

    project = models.OneToOneField(Project, primary_key=True, related_name="premises", on_delete=models.CASCADE)
    tenant = models.ForeignKey(Tenant, related_name="premises", on_delete=models.CASCADE)

    class Meta:
        app_label = "tenants"
        verbose_name_plural = "premises"

    def __str__(self) -> str:
        return f"{self.project_id} of {self.tenant_id}"
