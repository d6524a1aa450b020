"""Keys, sessions, scopes, and the throttle of failed logins."""
