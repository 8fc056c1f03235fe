"""Everything is replaced by a next release, whose migration adds columns, while the site is used: no request fails."""

import shutil
import time

from tests.stack.faults.site import FOLDER, MARKS, STARTED, Site, judge, told
from tests.stack.running import until

pytestmark = MARKS

BY_RELEASE = "SELECT release, count(*) FROM consumer_heard GROUP BY release"


def test_a_release_is_rolled_out(site: Site) -> None:
    until(site.is_whole, "everything runs", STARTED)
    before = site.victims()
    calm = site.load.watch("calm", 4)
    shutil.copytree(FOLDER / "release", site.running.folder / "host", dirs_exist_ok=True)
    began = time.time()
    site.running.run("restart")
    took = time.time() - began
    back = site.back_after(time.time())
    stretch = site.load.since("rolled out", began)
    told(calm, stretch)
    print(f"in {took:.0f} s; { ({name: round(seconds, 1) for name, seconds in back.items()}) }")  # noqa: T201
    after = site.victims()
    assert {name for name in before if before[name] == after[name]} == {"gateway-1"}  # which reads its configuration
    judge(site.settle("rolled out"))
    assert not stretch.failed, str(stretch)
    assert not stretch.stale, str(stretch)
    releases = dict(site.ledger.rows(BY_RELEASE))
    assert releases[1]
    assert releases[2]
