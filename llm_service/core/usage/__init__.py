"""Tokens, prices, and sums of both."""
