"""The stores over SQLAlchemy Core. Nothing outside this folder knows which database it is."""
