"""Model providers, with retries, a circuit breaker and prices."""
