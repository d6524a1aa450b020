"""The cache."""

import marshmallow as ma
from marshmallow import fields

from .base import meta


class ClearedSchema(ma.Schema):
    cleared = fields.Integer(required=True, metadata=meta("Number of answers removed in the process that answers.", 12))
