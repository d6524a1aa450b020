"""What processes and machines share through Redis: the cache, calls in flight, and wake-ups. The service works without it."""
