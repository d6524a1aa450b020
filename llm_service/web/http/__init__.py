"""HTTP itself: hooks, errors, strict JSON, server-sent events, connections."""
