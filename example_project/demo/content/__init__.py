"""The sample content: who works here, and on what.

Only words and numbers live here; `demo.seeding` turns them into rows. Every time is a distance from the
moment of seeding, so that the demo always has something overdue, something for today and something for next
month.
"""

from demo.content.app import MOBILE_APP
from demo.content.office import OFFICE_MOVE
from demo.content.people import PEOPLE
from demo.content.website import WEBSITE_RELAUNCH

PROJECTS = (WEBSITE_RELAUNCH, MOBILE_APP, OFFICE_MOVE)

__all__ = ["PEOPLE", "PROJECTS"]
