"""Each small site passes the same selection of the API's tests, and what is special about it is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHAPES = sorted(settings.parent.name for settings in HERE.glob("*/settings.py"))
SECONDS = 300

# Projects, tasks, comments, members, errors, what is hidden, tags, keys of idempotency, the feed, and what the recorder
# makes of a site's own writes. Not all of it: it is run on each site, and the whole is run on the suite's own.
CONTRACT = [
    "tests/shapes/contract.py",
    *(
        f"tests/api/test_objects.py::{test}"
        for test in (
            "TestProjects::test_creating_one",
            "TestProjects::test_who_creates_one_owns_it",
            "TestProjects::test_nothing_is_left_of_one_that_is_refused",
            "TestProjects::test_the_counts_follow_the_tasks",
            "TestProjects::test_deleting_one_takes_all_that_is_in_it",
            "TestTasks::test_creating_one",
            "TestTasks::test_creating_one_with_everything",
            "TestTasks::test_what_a_task_cannot_do_without",
            "TestTasks::test_completed_at_follows_the_status",
            "TestTasks::test_moving_one_to_another_project",
            "TestTasks::test_deleting_one_takes_its_comments",
            "TestComments",
            "TestMembers::test_adding_one_by_login_name",
            "TestMembers::test_nobody_is_added_twice",
            "TestMembers::test_changing_the_role",
            "TestMembers::test_removing_one",
        )
    ),
    "tests/api/test_hiding.py::test_a_project_in_a_body",
    "tests/api/test_hiding.py::test_a_project_in_a_filter",
    "tests/api/test_hiding.py::test_an_assignee_in_a_body",
    "tests/api/test_conditional.py::TestReading::test_a_copy_that_is_still_good_is_not_sent_again",
    "tests/api/test_conditional.py::TestReading::test_a_copy_of_what_was_edited_since_is",
    "tests/api/test_conditional.py::TestWriting::test_what_was_edited_since_is_left_alone",
    "tests/api/test_idempotency.py::TestRepeating::test_a_repeat_makes_nothing_and_is_answered_alike",
    "tests/api/test_idempotency.py::TestRepeating::test_another_body_is_refused",
    "tests/events/test_feed_http.py::test_form",
    "tests/events/test_feed_http.py::test_paging_ends_in_an_empty_page_without_next",
    "tests/events/test_feed_http.py::test_hidden_and_missing_read_the_same",
    "tests/events/test_feed_http.py::test_a_deleted_project_has_no_feed",
    *(
        f"tests/events/test_writes.py::{test}"
        for test in (
            *(
                "test_create",
                "test_save",
                "test_instance_delete",
                "test_update",
                "test_bulk_update",
                "test_bulk_create",
            ),
            *("test_queryset_delete", "test_moving_a_task", "test_loaddata", "test_actor_and_origin"),
            *("test_rolled_back_savepoint_leaves_none_of_its_own", "test_refused_write_leaves_none"),
            "test_state_rebuilt_from_the_beginning_equals_the_rows",
        )
    ),
]


def run(shape: str, *arguments: str) -> str:
    """What pytest says of these tests on that site; fails if it finds a fault."""
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PM_TEST_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "tests.shapes.harness", f"--ds=tests.shapes.{shape}.settings"]
    done = subprocess.run(
        # Hypothesis' own plugin takes seconds to come up, and nothing here draws lots.
        [*command, "-p", "no:hypothesispytest", "-p", "no:cacheprovider", "-n", "0", "-q", *arguments],
        cwd=ROOT,
        env=told,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{shape}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("shape", SHAPES)
def test_a_site_like_that_works(shape: str) -> None:
    found = run(shape, *CONTRACT, f"tests/shapes/{shape}/spec.py")
    assert re.search(r"^\d+ passed", found.splitlines()[-1])
    assert "skipped" not in found.splitlines()[-1]


def test_the_page_tells_of_each() -> None:
    page = (ROOT / "docs" / "shapes.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\(\.\./tests/shapes/\1/\) \|", page, re.MULTILINE) == SHAPES
