"""From settings to a running service: the only place that chooses adapters."""
