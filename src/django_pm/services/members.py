"""Who belongs to a project. Holds the rule that a project keeps an owner.

Leaving and demotion lock the project's row first, so that two owners who leave at the same moment cannot both be the
last but one.
"""

from __future__ import annotations

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
            _keep_an_owner(membership)
        membership.role = role
        membership.save(update_fields=["role"])
    return membership


def remove_member(*, actor: Any, membership: Membership) -> None:
    """End a membership: somebody is removed, or leaves. Raises ``LastOwner`` for the last owner."""
    with transaction.atomic(using=router.db_for_write(Membership)):
        _keep_an_owner(membership)
        membership.delete()


def _keep_an_owner(leaving: Membership) -> None:
    """Raise ``LastOwner`` if ``leaving`` is the only owner of its project. Locks the project's row."""
    using = router.db_for_write(Membership)
    Project.objects.using(using).select_for_update(no_key=True).get(pk=leaving.project_id)
    owners = Membership.objects.using(using).filter(project=leaving.project_id, role=Role.OWNER)
    if set(owners.values_list("pk", flat=True)) == {leaving.pk}:
        raise LastOwner(_("A project keeps at least one owner. Make somebody else an owner first."))
