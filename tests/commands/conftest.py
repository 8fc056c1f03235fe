"""What these tests have from others."""

from tests.mail.conftest import sink

__all__ = ["sink"]
