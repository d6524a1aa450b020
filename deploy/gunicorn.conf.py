"""gunicorn's settings, taken from the service's own. `make run` uses this file as it is:

gunicorn -c deploy/gunicorn.conf.py wsgi:app
"""

import gc
import logging
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from gunicorn import glogging

# gunicorn executes this file by its path: the checkout must be importable.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llm_service.adapters.observability.logs import configure_logging
from llm_service.bootstrap.settings import Settings, is_loopback, needs_key_at

settings = Settings.load_or_exit(os.environ)

bind = [f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"]
workers = settings.web_concurrency
# Waiting on slow upstreams is the work: see docs/decisions/0001-gevent-workers.md.
worker_class = "gevent"
worker_connections = 4000
backlog = 2048
keepalive = 5
# A stopping worker finishes what runs; it is killed when this is over.
graceful_timeout = math.ceil(settings.grace_s)
# Heartbeats stop while a stopping worker waits for generations that nobody listens to (worker_exit).
timeout = max(60, graceful_timeout + 30)
# Workers patch the standard library before they import the app, so that it must not be loaded in the master.
preload_app = False
control_socket_disable = True
# nginx is in front where anyone else can reach the port; the app reads what it forwards (APP_PROXY_HOPS).
forwarded_allow_ips = ""
accesslog = None
errorlog = "-"
loglevel = settings.log_level.lower()

# Two for each upstream call and more for the rest; many systems give 1,024 where they allow far more.
files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted_files = 2 * settings.upstream_slots + worker_connections + 256
if most_files != resource.RLIM_INFINITY:
    wanted_files = min(wanted_files, most_files)
if files != resource.RLIM_INFINITY and files < wanted_files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted_files, most_files))


class Logger(glogging.Logger):
    """gunicorn's messages through the service's own JSON formatter; the service logs its requests itself."""

    def setup(self, cfg):
        self.error_log.propagate = True
        configure_logging(settings.log_level, settings.secrets())
        for warning in settings.warnings:
            logging.getLogger("llm_service").warning(warning)

    def access(self, resp, req, environ, request_time):
        """Not even the values for a line are put together: that costs a third of a cache hit."""


logger_class = Logger


def on_starting(server):
    """In the master, before it forks: check the start, and migrate the database once for all workers."""
    addresses = [address for address in server.cfg.address if not isinstance(address, str)]
    # An address from --bind counts like HOST.
    foreign = next((host for host, *_ in addresses if not is_loopback(host)), None)
    needs_key = [] if foreign is None else [needs_key_at(f"HOST: {foreign}")]
    # In its own process: the master must not import what its workers patch.
    code = subprocess.run([sys.executable, "-m", "llm_service.cli.start", *needs_key], check=False).returncode  # noqa: S603
    if code:
        sys.exit(code)


def post_worker_init(worker):
    """In the worker, before it accepts: open what requests need; then, while it listens, warm the provider."""
    import gevent

    from llm_service.app import services_of

    worker.services = services_of(worker.wsgi)
    _announce_the_end(worker.services)
    _leave_to_the_collector_what_requests_make()
    # Later than the first health check: importing the SDK holds the event loop for half a second.
    gevent.spawn_later(0.1, _warm, worker.services)


def _announce_the_end(services):
    """With SIGTERM the service is no longer ready and begins nothing new; gunicorn's own handler goes on as ever."""
    stop = signal.getsignal(signal.SIGTERM)

    def announce(number, frame):
        services.shut_down()
        stop(number, frame)

    signal.signal(signal.SIGTERM, announce)


def _warm(services):
    services.warm()
    _leave_to_the_collector_what_requests_make()


def _leave_to_the_collector_what_requests_make():
    """Modules and services stay for good: to look through them again and again is a pause of tens of milliseconds.

    With 32 clients at once the slowest hundredth of the cache hits took 47 ms, and 32 ms without those pauses.
    """
    gc.collect()
    gc.freeze()


def pre_request(worker, req):
    """Let the others run: a busy keep-alive connection would otherwise be served again and again."""
    import gevent

    gevent.sleep(0)


def worker_exit(server, worker):
    """Wait for generations that nobody listens to, interrupt them when the grace is over, and close what was opened."""
    services = getattr(worker, "services", None)
    if services is not None:
        services.close()
