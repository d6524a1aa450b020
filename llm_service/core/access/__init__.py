"""API keys, sessions, scopes and the limit on failed logins."""
