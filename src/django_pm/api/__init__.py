"""The REST API: parse, authorise, call, render. It holds no rules of its own and is the only room that imports DRF.

A host subclasses the serializers, filter sets and viewsets here and routes its own names to them.
"""
