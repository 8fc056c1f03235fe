"""What the OpenAPI document says of every operation beyond its bodies: conditions, keys, refusals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status

from django_pm.api.idempotency import KEY_MAX_LENGTH, REPLAYED
from django_pm.models import Project, Task

ERROR = {
    "type": "object",
    "description": "Why not: a sentence under `detail`, or under the name of each field a list of them.",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}

# As RFC 9110 has them; Python's own names of 413 and 422 depend on its version.
NAMES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    406: "NotAcceptable",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "ContentTooLarge",
    415: "UnsupportedMediaType",
    422: "UnprocessableContent",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}
REFUSALS = {
    400: "Something in the request is wrong; the answer names it.",
    401: "Nobody is signed in.",
    403: "This may be seen, but not done; or nobody is signed in.",
    404: "There is no such thing that the user may see.",
    406: "Only JSON is served.",
    409: "The present state forbids it, or somebody else was quicker.",
    412: "It is not as `If-Match` or `If-None-Match` has it; nothing was changed.",
    413: "The body is too large.",
    415: "Only JSON is read.",
    422: "The `Idempotency-Key` was used with another body.",
    429: "Too many requests; `Retry-After` says for how many seconds.",
    503: "The database does not answer; `Retry-After` says when to try again. A write may have taken effect.",
}
EVERYWHERE = {401, 403, 406, 429, 503}
OF_ACTION = {
    "list": {400},
    "create": {400, 404, 409, 413, 415, 422},  # 404: what this key once made, or what it belongs to, is gone
    "generate": {400, 413, 415},
    "retrieve": {412},
    "update": {400, 409, 412, 413, 415},
    "partial_update": {400, 409, 412, 413, 415},
    "destroy": {409, 412},
}

ETAG = {
    "required": True,
    "schema": {"type": "string"},
    "description": "Names this state of the object, for `If-Match` and `If-None-Match`.",
}
ETAG_OF_LIST = {
    "schema": {"type": "string"},
    "description": "Names this answer, for `If-None-Match`; absent where the answer is made anew each time.",
}
RETRY_AFTER = {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds to wait."}
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` of the object as you read it: 412 if it has been edited since.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` of the copy you have: 304 if it is still good.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": KEY_MAX_LENGTH, "pattern": "^[ -~]*$"},
    OpenApiParameter.HEADER,
    description="A word of your own for this request. Sent again within 24 hours, it makes nothing twice.",
)
PARENTS: dict[str, Any] = {"project_id": Project, "task_id": Task}
PARAMETERS = {
    "create": [IDEMPOTENCY_KEY],
    "retrieve": [IF_NONE_MATCH],
    "update": [IF_MATCH],
    "partial_update": [IF_MATCH],
    "destroy": [IF_MATCH],
}


class ApiSchema(AutoSchema):
    """The operations of django-pm: each tells the headers it takes and gives, and every status it answers with."""

    def get_override_parameters(self) -> list[OpenApiParameter]:
        return [IF_NONE_MATCH] if self.is_kept_list else PARAMETERS.get(self.action, [])

    @property
    def is_kept_list(self) -> bool:
        """Whether it is a list that has a tag."""
        return self.action == "list" and getattr(self.view, "is_cached", False)

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        """The keys in the path with the type that they have in a body: one may be put into the other as it is."""
        parameters: list[dict[str, Any]] = super()._resolve_path_parameters(variables)
        own = getattr(getattr(self.view, "queryset", None), "model", None)  # a host's view may have none
        models = {**PARENTS, "id": own} if own else PARENTS
        for parameter in parameters:
            if parameter["name"] in models:
                schema = self._map_model_field(models[parameter["name"]]._meta.pk, direction=None)
                parameter["schema"] = {word: schema[word] for word in ("type", "format") if word in schema}
        return parameters

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """What a serializer answers with is always whole; what its fields require is only what one must send."""
        schema = super()._map_basic_serializer(serializer, direction)
        if direction == "response":
            schema["required"] = sorted(schema.get("properties", {}))
        return schema

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation is None:
            return None
        responses = operation["responses"]
        if self.action in {"create", "generate", "retrieve", "update", "partial_update"}:
            for answer in responses.values():
                answer["headers"] = {"ETag": ETAG}
        if self.action == "create":
            replayed = {"schema": {"const": "true"}, "description": "An earlier request with this key made it."}
            responses["201"]["headers"][REPLAYED] = replayed
        if self.is_kept_list:
            responses["200"]["headers"] = {"ETag": ETAG_OF_LIST}
        if self.action == "retrieve" or self.is_kept_list:
            responses["304"] = {"description": "Unchanged.", "headers": {"ETag": ETAG}}
        for code in sorted(self.refusals()):
            responses.setdefault(str(code), self._refusal(code))
        return operation

    @property
    def action(self) -> str:
        """What the view does, by the names of DRF; a plain view's method otherwise."""
        return getattr(self.view, "action", None) or self.method.lower()

    def refusals(self) -> set[int]:
        """The statuses of refusals that this operation may answer with."""
        in_path = {status.HTTP_404_NOT_FOUND} if "{" in self.path else set()
        return EVERYWHERE | in_path | OF_ACTION.get(self.action, {status.HTTP_400_BAD_REQUEST})

    def _refusal(self, code: int) -> dict[str, Any]:
        error = ResolvedComponent("Error", ResolvedComponent.SCHEMA, ERROR, object="Error")
        self.registry.register_on_missing(error)
        answer = {"description": REFUSALS[code], "content": {"application/json": {"schema": error.ref}}}
        if code in {status.HTTP_429_TOO_MANY_REQUESTS, status.HTTP_503_SERVICE_UNAVAILABLE}:
            answer["headers"] = {"Retry-After": RETRY_AFTER}
        name = NAMES[code]
        component = ResolvedComponent(name, ResolvedComponent.RESPONSE, answer, object=name)
        self.registry.register_on_missing(component)
        return component.ref
