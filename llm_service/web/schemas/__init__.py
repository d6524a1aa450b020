"""The shapes of the API: for each resource its schema, and the serializer that makes it."""
