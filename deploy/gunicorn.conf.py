"""gunicorn's settings, taken from the service's own. `make run` uses this file as it is:

gunicorn -c deploy/gunicorn.conf.py wsgi:app
"""

import gc
import logging
import math
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gunicorn import glogging

# gunicorn runs this file by its path: make the checkout importable.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llm_service.adapters.observability.logs import configure_logging
from llm_service.bootstrap.settings import EXIT_CONFIG, Settings, is_loopback, needs_key_at
from llm_service.cli.listening import address_to_open, refusals_of
from llm_service.cli.start_process import STOP_SIGNALS, StartCheck

if TYPE_CHECKING:
    from llm_service.core.services import Services

# In flight per process, as far as descriptors are concerned.
MOST_CALLS = 30_000

settings = Settings.load_or_exit(os.environ)

bind = [f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"]
workers = settings.web_concurrency
# Most of the time is spent waiting for the provider: see docs/decisions/0001-gevent-workers.md.
# This one is gunicorn's, with the service's own error answers and limits on how long a caller may be waited for.
worker_class = "llm_service.bootstrap.gunicorn_worker.Worker"
worker_connections = 4000
backlog = 2048
keepalive = 5
# A stopping worker finishes its requests; it is killed after this time.
graceful_timeout = math.ceil(settings.grace_s)
# A stopping worker sends no heartbeat while it waits for generations without a caller (worker_exit).
timeout = max(60, graceful_timeout + 30)
# Workers patch the standard library before they import the app, so the master must not load it.
preload_app = False
control_socket_disable = True
# The app reads forwarding headers itself (APP_PROXY_HOPS).
forwarded_allow_ips = ""
accesslog = None
errorlog = "-"
loglevel = settings.log_level.lower()

# Two files per upstream call, and more for the rest. The default is often 1,024 although more is allowed. Each provider of
# the providers file, which is read later, has its own slots.
files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
calls = settings.upstream_slots if settings.providers_file is None else MOST_CALLS
wanted_files = 2 * calls + worker_connections + 256
if most_files != resource.RLIM_INFINITY:
    wanted_files = min(wanted_files, most_files)
if files != resource.RLIM_INFINITY and files < wanted_files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted_files, most_files))


class Logger(glogging.Logger):
    """Sends gunicorn's messages through the service's JSON formatter. The service logs requests itself."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        configure_logging(settings.log_level, settings.secrets())
        for warning in settings.warnings:
            logging.getLogger("llm_service").warning(warning)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Does nothing: collecting the values for a line costs a third of a cache hit."""


logger_class = Logger


def on_starting(server: Any) -> None:
    """In the master, before it forks: begin to check the start, and migrate the database once for all workers.

    The server keeps the check, because this file is read again at SIGHUP.
    """
    if refusals := settings.refusals():
        sys.stderr.write("\n".join(refusals) + "\n")
        sys.exit(EXIT_CONFIG)
    addresses = [address for address in server.cfg.address if not isinstance(address, str)]
    # Sockets that another process handed over are bound already.
    is_handed_over = server.cfg.reuse_port or "LISTEN_FDS" in os.environ or "GUNICORN_FD" in os.environ
    if not is_handed_over and (refusals := refusals_of((str(host), port) for host, port, *_ in addresses)):
        sys.stderr.write("\n".join(refusals) + "\n")
        sys.exit(1)
    gc.freeze()  # the collector would write to the memory that workers share: 4 MB each
    # An address from --bind counts like HOST.
    foreign = next((host for host, *_ in addresses if not is_loopback(host)), None)
    server.start_check = StartCheck(settings, *([] if foreign is None else [needs_key_at(f"HOST: {foreign}")]))
    server.failed = False


def post_fork(server: Any, worker: Any) -> None:
    """In the worker, before it imports the app."""
    worker.start_check = server.start_check
    gc.disable()  # nothing that it imports is garbage
    for number in STOP_SIGNALS:
        # The master's own handlers, until gunicorn sets the worker's, would lose a signal.
        signal.signal(number, signal.SIG_DFL)


def post_worker_init(worker: Any) -> None:
    """In the worker: open the services before it accepts requests, then warm the provider while it listens."""
    worker.start_check.wait(worker)
    worker.services = _open_services(worker)
    _shut_down_on_sigterm(worker.services)
    # Modules and services are never freed, and scanning them causes pauses: with 32 clients the p99 of cache hits was
    # 47 ms, and is 32 ms without.
    gc.freeze()
    gc.enable()
    # Later than the first health check: importing the SDK holds the event loop for half a second. Not with gevent's own
    # function, which a worker of threads would never run.
    warming = threading.Timer(0.1, _warm, [worker.services])
    warming.daemon = True
    warming.start()
    # For people. Programs that read the log find the address in gunicorn's own line.
    if worker.age == 1 and sys.stderr.isatty():
        for address in (listener.getsockname() for listener in worker.sockets):
            if isinstance(address, tuple):
                sys.stderr.write(f"Open {address_to_open(*address[:2])} in a browser. Ctrl+C stops the server.\n")


def _open_services(worker: Any) -> "Services":
    """Wait for what keeps it from starting now: a worker that fails to start ends the other workers, too."""
    from llm_service.app import services_of
    from llm_service.bootstrap.errors import NotYet
    from llm_service.core.errors import StorageError

    told = ""
    while worker.alive and worker.ppid == os.getppid():
        try:
            return services_of(worker.wsgi)
        except (NotYet, StorageError) as error:
            if told != (told := str(error)):
                worker.log.warning("waiting: %s", error)
            worker.notify()
            time.sleep(0.5)
    sys.exit(0)


def _shut_down_on_sigterm(services: "Services") -> None:
    """On SIGTERM the service is no longer ready and starts no generation. Then gunicorn's own handler runs."""
    stop = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        services.shut_down()
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, handle)


def _warm(services: "Services") -> None:
    services.warm()
    gc.collect()
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    """In the master: stop if the start has failed, which a worker that ends may tell."""
    stopping = not server.LISTENERS and not server.cfg.reuse_port
    if server.failed or stopping or server.start_check.failure is None:
        return
    server.failed = True
    server.log.error(server.start_check.failure)
    server.num_workers = 0
    server.SIG_QUEUE.put_nowait(signal.SIGTERM)


def on_exit(server: Any) -> None:
    """In the master, last: exit with the code of the check if it failed."""
    server.start_check.end()
    if server.failed:
        sys.exit(server.start_check.exit_code)


def pre_request(worker: Any, req: Any) -> None:
    """Let other greenlets run: otherwise one busy keep-alive connection keeps the worker to itself."""
    import gevent

    gevent.sleep(0)


def worker_exit(server: Any, worker: Any) -> None:
    """Wait for generations without a caller, interrupt them after APP_GRACE_S, and close the services."""
    services = getattr(worker, "services", None)
    if services is not None:
        services.close()
