"""A host app that knows more about tasks than django-pm does."""
