"""What a service refuses, in words a person can read. The API turns each into a status; a host may catch them."""

from django.utils.translation import gettext


class DjangoPMError(Exception):
    """Base of everything django-pm raises on purpose."""


class NotAllowed(DjangoPMError):
    """The policy says no: the user may see the object but not do this to it."""


class Conflict(DjangoPMError):
    """The request is well formed but the present state of the project forbids it."""


class LastOwner(Conflict):
    """A project keeps at least one owner: the last one can neither leave nor be demoted."""


class AlreadyMember(Conflict):
    """The user already has a role in this project; change it instead of adding another."""


class CannotBeAssigned(DjangoPMError):
    """The user does not see the task's project, and so cannot be given the task."""


RESET_REASONS = ("epoch", "ahead", "trimmed")


class StreamReset(DjangoPMError):
    """The events since that number cannot be told. Fetch the project afresh, then follow from ``head``.

    ``reason`` is ``"epoch"`` (the log was restored), ``"ahead"`` (there is no such number yet) or ``"trimmed"``
    (pruned).
    """

    def __init__(self, reason: str, *, head: int, epoch: str) -> None:
        super().__init__(gettext("The stream cannot be continued from there (%(reason)s).") % {"reason": reason})
        self.reason = reason
        self.head = head
        self.epoch = epoch
