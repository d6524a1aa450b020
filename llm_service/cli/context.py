"""What every command starts from."""

from flask import current_app

from llm_service.bootstrap.settings import Settings


def current_settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings
