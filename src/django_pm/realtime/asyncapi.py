"""The AsyncAPI document of ``/ws/notifications/``: what ``docs/asyncapi.json`` holds. ``make openapi`` writes it.

The frames are described here, since nothing else knows of all of them: ``protocol`` has the limits and codes,
``connection`` and ``hub`` tell. An event is the same JSON as in the feed, so the OpenAPI document describes it. The
suite holds every frame that it meets against this document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_pm.event_types import CHANGES_SCHEMA, EVENT_TYPES, PROJECT_DELETED
from django_pm.models.ticket import LIFETIME
from django_pm.realtime import protocol
from django_pm.realtime.asgi import PATH

Json = dict[str, Any]

CHANNEL = "notifications"
EVENTS_TOLD = tuple(name for name in EVENT_TYPES if name != PROJECT_DELETED)
"""Who saw a project that was deleted is told ``access_lost``: nobody may see its last event."""

ERROR_CODES = ("malformed", "unknown_type", "unexpected_resume", "no_resume")
CLOSE_CODES = {
    protocol.CLOSE_BINARY: "A binary frame: mend the client.",
    1007: "No UTF-8: mend the client.",
    protocol.CLOSE_TOO_LARGE: "A frame that is too large: mend the client.",
    protocol.CLOSE_TRY_LATER: "The server cannot at the moment: connect again, later.",
    protocol.CLOSE_NOT_SIGNED_IN: "Not signed in, or not any more: sign in.",
    protocol.CLOSE_RESYNC: "You read too slowly, or what you may see changed as a whole: connect again and resume.",
    protocol.CLOSE_TOO_MANY: "Too many frames, or more sockets than SOCKETS_PER_USER: fewer.",
}

COUNT: Json = {"type": "integer", "minimum": 0}
KEY: Json = {"type": "integer"}
NUMBERS: Json = {"type": "object", "additionalProperties": COUNT, "description": "`{project: number}`"}
EPOCH: Json = {"type": "string", "description": "The lineage of the head."}
EPOCHS: Json = {"type": "object", "additionalProperties": {"type": "string"}, "description": "`{project: lineage}`"}


def document(openapi: Json) -> Json:
    """The AsyncAPI document that goes with this OpenAPI document."""
    told = openapi["components"]
    messages = {
        **_from_server(),
        "notification_created": _notice(),
        **{_name(kind): _event(kind) for kind in EVENTS_TOLD},
        **_from_client(),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "django-pm notifications",
            "version": openapi["info"]["version"],
            "description": (
                "What happens in the projects that a user sees, over a WebSocket: JSON in text frames. Fields and "
                "types are only ever added, so ignore what you do not know. Keys in objects are texts."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "site": {
                "host": "{host}",
                "protocol": "wss",
                "variables": {"host": {"default": "localhost:8000", "description": "Where the site is."}},
                "security": [_ref("securitySchemes", name) for name in (*told["securitySchemes"], "ticket")],
            }
        },
        "channels": {CHANNEL: _channel(messages)},
        "operations": _operations(messages),
        "components": {
            "messages": messages,
            "schemas": {
                "Event": _event_of_feed(told["schemas"]),
                **{name: told["schemas"][name] for name in ("Notification", "NotificationReason", "ResetReason")},
            },
            "securitySchemes": _security(told["securitySchemes"]),
        },
    }


# The frames


def _from_server() -> Json:
    welcome = {
        "protocol": {"const": protocol.VERSION},
        "epoch": EPOCHS,
        "heads": {**NUMBERS, "maxProperties": protocol.MAX_HEADS},
        "complete": {"type": "boolean", "description": "Whether `heads` has all projects that you see."},
        "heartbeat": {"type": "integer", "minimum": 1, "description": "Seconds."},
    }
    lost = {
        "type": ["integer", "string"],
        "description": "A text, as you wrote it, where a `resume` named what this socket cannot be told of.",
    }
    reason = _ref("schemas", "ResetReason")
    error = {"code": {"type": "string", "enum": list(ERROR_CODES)}, "detail": {"type": "string"}}
    return {
        "welcome": _message("welcome", "The first frame: where everything stands.", welcome),
        "resumed": _message("resumed", "All that you missed has been sent.", {"replayed": COUNT}),
        "reset": _message(
            "reset",
            "The events you want cannot be told: fetch the project afresh, then follow from the head.",
            {"project": KEY, "head": COUNT, "epoch": EPOCH, "reason": reason},
        ),
        "access_gained": _message(
            "access_gained",
            "You may see this project now: fetch it. Its events begin at head + 1.",
            {"project": KEY, "head": COUNT, "epoch": EPOCH},
        ),
        "access_lost": _message(
            "access_lost",
            "You do not see this project (any more). It does not say whether it is there.",
            {"project": lost},
        ),
        "heartbeat": _message(
            "heartbeat", "The socket lives; the heads that moved since the last one.", {"heads": NUMBERS}
        ),
        "pong": _message("pong", "The answer to `ping`.", {}),
        "error": _message("error", "Your frame could not be used; the socket stays open.", error),
    }


def _notice() -> Json:
    notification = {"notification": _ref("schemas", "Notification")}
    return _message(
        "notification.created",
        "You were told of something: it is in your inbox. Not told again to whoever was away, and now and then twice.",
        notification,
    )


def _from_client() -> Json:
    resume = _message(
        "resume",
        f"Go on from here. Once, within {protocol.RESUME_WITHIN_SECONDS} seconds of the welcome to a socket that was "
        "opened with `?resume=true`. Projects that are not named go on from the welcome's heads.",
        {"since": NUMBERS, "epoch": {**EPOCHS, "type": ["object", "null"]}},
    )
    resume["payload"]["required"].remove("epoch")
    return {"ping": _message("ping", "Answered by `pong`.", {}), "resume": resume}


def _message(kind: str, summary: str, fields: Json) -> Json:
    properties = {"type": {"const": kind}, **fields}
    payload = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": kind, "title": kind, "summary": summary, "payload": payload}


def _event(kind: str) -> Json:
    """An event as the feed has it, of this type; the rest of the refinement is the kind of its object."""
    refined = {"type": {"const": kind}, "object": {"properties": {"type": {"const": kind.partition(".")[0]}}}}
    payload = {"allOf": [_ref("schemas", "Event"), {"properties": refined}]}
    return {"name": kind, "title": kind, "summary": f"The event `{kind}`, as the feed has it.", "payload": payload}


def _name(kind: str) -> str:
    """The key of an event's message: those of components have no dots in all tools."""
    return kind.replace(".", "_")


def _event_of_feed(schemas: Json) -> Json:
    event = schemas["Event"]
    changes = {key: value for key, value in CHANGES_SCHEMA.items() if key not in {"$schema", "title"}}
    told = event["properties"]["changes"]
    properties = {
        **event["properties"],
        "type": {"type": "string", "enum": list(EVENTS_TOLD)},
        "seq": {"type": "integer", "minimum": 1},
        "changes": {**changes, "description": told["description"]},
    }
    return {**event, "properties": properties}


# Where and how


def _channel(messages: Json) -> Json:
    query = {
        "type": "object",
        "properties": {
            "project": {"type": "array", "items": KEY, "description": "Only these; repeatable, `project=5&project=6`."},
            "resume": {"const": "true", "description": "Live events wait for a `resume`."},
            "ticket": {"type": "string", "description": "A ticket of `POST /notifications/ticket/`."},
        },
    }
    return {
        "address": PATH,
        "title": "Notifications",
        "description": (
            f"A foreign `Origin` is refused by a 403 of the handshake. The client's frames have at most "
            f"{protocol.MAX_FRAME_BYTES} bytes, and there are at most {protocol.MAX_FRAMES_PER_SECOND} in a second. "
            "`x-close-codes` says why a socket is closed, and what to do."
        ),
        "messages": {name: _ref("messages", name) for name in messages},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
        "x-close-codes": {str(code): CLOSE_CODES[code] for code in sorted(CLOSE_CODES)},
        "x-limits": {
            "frameBytes": protocol.MAX_FRAME_BYTES,
            "framesPerSecond": protocol.MAX_FRAMES_PER_SECOND,
            "heads": protocol.MAX_HEADS,
            "waitingBytes": protocol.MAX_QUEUED_BYTES,
            "resumeWithinSeconds": protocol.RESUME_WITHIN_SECONDS,
            "heartbeatSeconds": protocol.HEARTBEAT_SECONDS,
            "ticketSeconds": int(LIFETIME.total_seconds()),
        },
    }


def _operations(messages: Json) -> Json:
    """As the site sees them: it sends what clients hear."""
    asked = {"ping": ["pong", "error"], "resume": ["resumed", "reset", "access_lost", "error"]}
    operations: Json = {
        "tell": _operation("send", "What the site tells.", [name for name in messages if name not in asked])
    }
    for name, answers in asked.items():
        operation = _operation("receive", messages[name]["summary"], [name])
        operation["reply"] = {"channel": _channel_ref(), "messages": _messages_of(answers)}
        operations[name] = operation
    return operations


def _operation(action: str, summary: str, names: Iterable[str]) -> Json:
    return {"action": action, "channel": _channel_ref(), "summary": summary, "messages": _messages_of(names)}


def _channel_ref() -> Json:
    return {"$ref": f"#/channels/{CHANNEL}"}


def _messages_of(names: Iterable[str]) -> list[Json]:
    return [{"$ref": f"#/channels/{CHANNEL}/messages/{name}"} for name in names]


def _security(schemes: Json) -> Json:
    """What the API takes as headers or cookie, and the ticket."""
    found = {
        name: {**scheme, "type": "httpApiKey"} if scheme["type"] == "apiKey" else scheme
        for name, scheme in schemes.items()
    }
    for scheme in found.values():
        if scheme.get("in") == "cookie":
            scheme["description"] = "The session of the site, together with an `Origin` that is the site's own."
    found["ticket"] = {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": (
            "A ticket of `POST /notifications/ticket/`: good for one connection within "
            f"{int(LIFETIME.total_seconds())} seconds."
        ),
    }
    return found


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}
