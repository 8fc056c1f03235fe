"""Who belongs to a project. Holds the rule that a project keeps an owner.

Leaving and demotion lock the project's row first, so that two owners who leave at the same moment cannot both be the
last but one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import IntegrityError, router, transaction
from django.utils.translation import gettext as _

from django_pm.exceptions import AlreadyMember, LastOwner
from django_pm.models import Membership, Project, Role


def add_member(*, actor: Any, project: Project, user: Any, role: str = Role.MEMBER) -> Membership:
    """Give ``user`` a role in ``project``.

    Raises ``AlreadyMember`` if there is one, whoever came first.
    """
    using = router.db_for_write(Membership)
    try:
        with transaction.atomic(using=using):
            membership: Membership = Membership.objects.create(project=project, user=user, role=role)
    except IntegrityError:
        if Membership.objects.using(using).filter(project=project, user=user).exists():
            raise AlreadyMember(_("This user is already a member of the project.")) from None
        raise
    return membership


def change_role(*, actor: Any, membership: Membership, role: str) -> Membership:
    """Set the role of a membership. Raises ``LastOwner`` when that would leave the project without an owner."""
    with transaction.atomic(using=router.db_for_write(Membership)):
        if role != Role.OWNER:
            keep_an_owner(project_id=membership.project_id, leaving=[membership.pk])
        membership.role = role
        membership.save(update_fields=["role"])
    return membership


def remove_member(*, actor: Any, membership: Membership) -> None:
    """End a membership: somebody is removed, or leaves. Raises ``LastOwner`` for the last owner."""
    with transaction.atomic(using=router.db_for_write(Membership)):
        keep_an_owner(project_id=membership.project_id, leaving=[membership.pk])
        membership.delete()


def keep_an_owner(*, project_id: Any, leaving: Collection[Any]) -> None:
    """Raise ``LastOwner`` if no owner would be left without the memberships ``leaving`` (keys).

    Locks the project's row, so call it in the transaction in which they leave or are demoted.
    """
    using = router.db_for_write(Membership)
    Project.objects.using(using).select_for_update(no_key=True).get(pk=project_id)
    owners = Membership.objects.using(using).filter(project=project_id, role=Role.OWNER)
    keys = set(owners.values_list("pk", flat=True))
    if keys and keys <= set(leaving):
        raise LastOwner(_("A project keeps at least one owner. Make somebody else an owner first."))
