"""The REST API through its public door: every test here sends HTTP requests, none calls a view or serializer."""
