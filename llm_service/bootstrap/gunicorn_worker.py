"""The worker class of `deploy/gunicorn.conf.py`. gunicorn's master imports it: it must not import the app."""

from llm_service.adapters.runtime import worker
from llm_service.web.http.server_errors import ServerErrors


class Worker(ServerErrors, worker.Worker):
    pass
