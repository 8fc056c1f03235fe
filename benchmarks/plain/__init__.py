"""The same tables as an ordinary Django app would have them: what django-pm is measured against."""
