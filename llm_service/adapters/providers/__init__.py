"""Models, and what stands between them and the service."""
