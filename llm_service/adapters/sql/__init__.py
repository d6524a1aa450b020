"""The stores, on SQLAlchemy Core. Nothing outside this folder knows which database is used."""
