"""One request and its answer, from the caller's request to its stored outcome."""
