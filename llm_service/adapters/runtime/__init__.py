"""The clock and background work."""
