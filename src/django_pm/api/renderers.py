"""JSON, written by orjson."""

from __future__ import annotations

from typing import Any

import orjson
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

MEDIA_TYPE = "application/json"
OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS

# JSON allows these two in a string, JavaScript did not for long; DRF's own renderer escapes them as well.
LINE_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


class FastJSONRenderer(JSONRenderer):
    """The bytes that DRF's own renderer makes, sooner (but for the spelling of very large and small fractions)."""

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        if not is_plain(accepted_media_type) or (renderer_context or {}).get("indent") is not None:
            return self._slowly(data, accepted_media_type, renderer_context)
        if self.ensure_ascii or not self.compact or self.encoder_class is not JSONEncoder:  # a host's wish
            return self._slowly(data, accepted_media_type, renderer_context)
        try:
            body = orjson.dumps(data, default=_encoder.default, option=OPTIONS)
        except TypeError:  # an integer of more than 64 bits, a key that is no string
            return self._slowly(data, accepted_media_type, renderer_context)
        for raw, escaped in LINE_SEPARATORS:
            if raw in body:
                body = body.replace(raw, escaped)
        return body

    def _slowly(self, data: Any, accepted_media_type: Any, renderer_context: Any) -> bytes:
        body: bytes = super().render(data, accepted_media_type, renderer_context)
        return body


_encoder = JSONEncoder()


def is_plain(accepted_media_type: Any) -> bool:
    """Whether JSON is wanted as it comes."""
    return accepted_media_type in {None, MEDIA_TYPE}
