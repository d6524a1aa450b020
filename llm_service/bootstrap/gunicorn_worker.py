"""The worker class of `deploy/gunicorn.conf.py`. gunicorn's master imports it: it must not import the app."""

from gunicorn.workers.ggevent import GeventWorker

from llm_service.web.http.server_errors import ServerErrors


class Worker(ServerErrors, GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    pass
