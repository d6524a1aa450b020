"""Minutes of all kinds of callers at once: `make soak`."""
