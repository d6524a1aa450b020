"""Authentication and access control of requests."""
