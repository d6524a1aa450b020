"""Token counts, prices and their sums."""
