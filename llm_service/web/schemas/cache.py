"""The cache."""

import marshmallow as ma
from marshmallow import fields

from .base import meta


class ClearedSchema(ma.Schema):
    cleared = fields.Integer(required=True, metadata=meta("Answers that the process that answers has forgotten.", 12))
