"""The live example site against the committed OpenAPI document: thousands of made-up requests, and a generated client.

`make fuzz` runs it, on SQLite and on PostgreSQL; a plain `make test` does not.
"""
