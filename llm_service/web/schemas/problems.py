"""Problem documents (RFC 9457)."""

import marshmallow as ma
from marshmallow import fields

from .base import UUID_EXAMPLE, meta
from .limits import LimitSchema


class FieldErrorSchema(ma.Schema):
    class Meta:
        title = "FieldError"

    field = fields.String(required=True, metadata=meta("Path of the field at fault.", "parameters.tone"))
    message = fields.String(required=True, metadata=meta("What is allowed.", "must be one of: neutral, simple"))


class ProblemSchema(ma.Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(required=True, metadata=meta("Page that explains the error.", "/problems/invalid-input"))
    title = fields.String(required=True, metadata=meta("The error in a few words."))
    status = fields.Integer(required=True, metadata=meta("The HTTP status.", 422))
    detail = fields.String(required=True, metadata=meta("What happened this time."))
    instance = fields.String(required=True, metadata=meta("The path that was asked.", "/api/v1/generate"))
    error = fields.String(required=True, metadata=meta("Stable code of the error.", "invalid-input"))
    request_id = fields.String(required=True, metadata=meta("Finds the request in the log.", UUID_EXAMPLE))
    errors = fields.List(fields.Nested(FieldErrorSchema), metadata=meta("The fields at fault, where there are any."))
    limit = fields.Nested(
        LimitSchema, metadata=meta("The limit that refused, of `rate-limited` and `budget-exhausted`.")
    )
