"""Problem documents (RFC 9457)."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from .base import UUID_EXAMPLE, meta
from .limits import LimitSchema


class FieldErrorSchema(ma.Schema):
    class Meta:
        title = "FieldError"

    field = fields.String(required=True, metadata=meta("Path of the invalid field.", "parameters.tone"))
    message = fields.String(required=True, metadata=meta("What is allowed.", "must be one of: neutral, simple"))


class ProblemSchema(ma.Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(required=True, metadata=meta("Page that explains the error.", "/problems/invalid-input"))
    title = fields.String(required=True, metadata=meta("A short summary of the error."))
    status = fields.Integer(required=True, metadata=meta("The HTTP status.", 422))
    detail = fields.String(required=True, metadata=meta("What went wrong with this request."))
    instance = fields.String(required=True, metadata=meta("The requested path.", "/api/v1/generate"))
    error = fields.String(required=True, metadata=meta("The stable error code.", "invalid-input"))
    request_id = fields.String(required=True, metadata=meta("Identifies the request in the log.", UUID_EXAMPLE))
    errors = fields.List(fields.Nested(FieldErrorSchema), metadata=meta("The invalid fields, if any."))
    limit = fields.Nested(
        LimitSchema,
        metadata=meta("The limit that refused the request; only with `rate-limited` and `budget-exhausted`."),
    )

    def __deepcopy__(self, memo: Any) -> "ProblemSchema":
        """smorest copies the documentation of a view with each response: 850 copies of what nothing changes."""
        return self
