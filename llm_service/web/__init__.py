"""The HTTP edge: parse, call a core service, format. No rules live here."""
