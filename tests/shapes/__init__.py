"""Small sites that install django-pm in different ways, to be copied from: docs/shapes.md.

Each folder is a site: its `settings.py` says what it does otherwise than `site.py`, its `spec.py` tests that. The suite
runs each in a process of its own, with the same selection of the API's tests (`test_shapes.py`).
"""
