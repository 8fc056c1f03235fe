"""``python -m benchmarks [part …] [--short]``."""

import argparse
import importlib
import os
import sys
import time

import django

PARTS = {
    "writes": "writes of one task and of many, in process and over HTTP",
    "reads": "a list of tasks over HTTP, kept and not, beside the conventional view and constant bytes",
    "numbering": "numbering, versions of many projects, reading a long stream",
    "delete": "deleting a project with many tasks",
    "seed": "pm_seed",
    "fanout": "one event to many sockets, beside the conventional consumer and the bare server",
    "reminders": "reminders by mail, beside one Celery task for each and beside a loop that only sends",
    "reports": "daily reports of very many projects, beside a loop of counts",
    "coming": "a welcome, and a resume of what was missed",
}

MODULES = {
    "delete": "deleting",
    "fanout": "sockets.fanout",
    "reads": "reading.lists",
    "coming": "sockets.coming",
    "reminders": "mailing.reminders",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure django-pm on PostgreSQL.")
    listed = "; ".join(f"{name}: {text}" for name, text in PARTS.items())
    parser.add_argument("parts", nargs="*", metavar="part", help=f"all unless named. {listed}")
    parser.add_argument("--short", action="store_true", help="smaller sizes, fewer rounds: under a minute in all")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")

    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()

    from benchmarks.database import fresh_database
    from benchmarks.measure import machine

    start = time.monotonic()
    with fresh_database():
        print(machine())
        for name in options.parts or PARTS:
            part = importlib.import_module(f"benchmarks.{MODULES.get(name, name)}")
            for table in part.run(short=options.short):
                table.print()
                sys.stdout.flush()
    print(f"\n{time.monotonic() - start:.0f} s, {'short' if options.short else 'long'} form")


main()
