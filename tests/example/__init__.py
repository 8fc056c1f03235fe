"""The example site, run as its users run it: in a process of its own, over HTTP."""
