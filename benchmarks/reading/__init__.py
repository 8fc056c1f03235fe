"""Reading a list over HTTP."""
