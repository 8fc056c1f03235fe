"""Answers that are kept and given again: never an old one, and to nobody who may not see it.

`answers.py` is the walk: read the versions of all projects that an answer can show, make the key of them and of the
question, look for its bytes, else make them. `local.py` keeps bytes in this process, `shared.py` in the site's cache,
behind the breaker of `breaker.py`. Nothing here knows HTTP; `api/lists.py` asks.

Nothing is ever deleted or told to expire because something changed: the next reader computes another key. So there is
no order of steps, and no crash between two of them, after which an old answer would be found. docs/caching.md.
"""
