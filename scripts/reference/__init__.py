"""Writes the parts of docs/ that the code knows best: settings, checks, events, commands, endpoints, names.

A page holds a part between `<!-- from the code: NAME -->` and `<!-- end -->`; the words around it are written by hand.
The parts are committed, so that the pages are whole where they are read as plain files, and a change of the code shows
in review as what a site owner will read. tests/docs/test_reference.py fails while they differ; `make reference` mends
that.
"""
