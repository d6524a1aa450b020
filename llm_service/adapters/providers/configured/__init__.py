"""Several providers, from a file that the operator writes."""
