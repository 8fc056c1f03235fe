"""`pm_seed` writes as it goes. Apart from its other tests, because tracing takes a while and once is enough."""

import io
import tracemalloc

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def run(tasks: int) -> None:
    sizes = {"projects": 1, "tasks": tasks, "comments": tasks // 2, "users": 6}
    call_command("pm_seed", **sizes, now="2030-01-07T09:00Z", stdout=io.StringIO())


def test_memory_does_not_grow_with_the_number_of_tasks() -> None:
    def peak(tasks: int) -> int:
        tracemalloc.start()
        try:
            run(tasks)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    run(60)  # what is loaded once is loaded now
    assert peak(10_000) < 1.5 * peak(2_000)
