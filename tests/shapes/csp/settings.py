"""A content security policy that allows the site's own files and nothing inline, on every answer.

Since 6.0 Django has a middleware for it (`SECURE_CSP`); this one does with 5.2 as well.
"""

from tests.shapes.site import *  # noqa: F403
from tests.shapes.site import MIDDLEWARE

MIDDLEWARE = ["tests.shapes.csp.middleware.content_security_policy", *MIDDLEWARE]
