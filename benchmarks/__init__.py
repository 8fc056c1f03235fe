"""What django-pm costs and gives, measured beside the plain answer in the same run.

``python -m benchmarks`` prints tables of medians and ratios; nothing here is a test and no figure is expected. It needs
PostgreSQL (``PM_BENCH_SERVER``), makes the database ``pm_bench`` there and drops it again. ``docs/performance.md`` has
the figures of one run and says how to read them.
"""
