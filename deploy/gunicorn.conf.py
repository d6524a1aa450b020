"""gunicorn's settings, taken from the service's own. `make run` uses this file as it is:

gunicorn -c deploy/gunicorn.conf.py wsgi:app
"""

import gc
import logging
import math
import mmap
import os
import resource
import select
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gunicorn import glogging
from gunicorn.errors import HaltServer

# gunicorn runs this file by its path: make the checkout importable.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llm_service.adapters.observability.logs import configure_logging
from llm_service.bootstrap.settings import Settings, is_loopback, needs_key_at

if TYPE_CHECKING:
    from llm_service.core.services import Services

settings = Settings.load_or_exit(os.environ)

bind = [f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"]
workers = settings.web_concurrency
# Most of the time is spent waiting for the provider: see docs/decisions/0001-gevent-workers.md.
# This one is gunicorn's, with the service's own error answers.
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

# Two files per upstream call, and more for the rest. The default is often 1,024 although more is allowed.
files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted_files = 2 * settings.upstream_slots + worker_connections + 256
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
start_check: "StartCheck"


def on_starting(server: Any) -> None:
    """In the master, before it forks: begin to check the start, and migrate the database once for all workers."""
    global start_check
    gc.freeze()  # the collector would write to the memory that workers share: 4 MB each
    addresses = [address for address in server.cfg.address if not isinstance(address, str)]
    # An address from --bind counts like HOST.
    foreign = next((host for host, *_ in addresses if not is_loopback(host)), None)
    start_check = StartCheck([] if foreign is None else [needs_key_at(f"HOST: {foreign}")])


class StartCheck:
    """The start checks, in a child of the master: what they import stays there, as workers must patch it first.

    Meanwhile the workers import the app, and wait for the verdict before they open it.
    """

    def __init__(self, needs_key: list[str]) -> None:
        # Shared with all forks. A child that dies without a verdict has failed.
        self._code = mmap.mmap(-1, 1)
        self._code[0] = 1
        self._reported = False
        # Nobody writes to it: it ends when the child does.
        self._over, over = os.pipe()
        if os.fork() == 0:
            self._check(needs_key)
        os.close(over)

    def _check(self, needs_key: list[str]) -> None:
        try:
            from llm_service.cli.start import check_start_or_exit

            check_start_or_exit(settings, *needs_key)
            self._code[0] = 0
        except SystemExit as exit_:
            self._code[0] = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def wait(self, worker: Any) -> None:
        """In a worker: return when the check is passed, and exit when it is not, or when the worker is to stop."""
        while not select.select([self._over], [], [], 0.5)[0]:
            worker.notify()  # a migration may take longer than `timeout`
            if not worker.alive or worker.ppid != os.getppid():
                sys.exit(0)
        if self._code[0]:
            sys.exit(0)

    def stop_if_failed(self) -> None:
        """In the master, when a worker has ended: end with the code of the check."""
        if self._code[0] and not self._reported and select.select([self._over], [], [], 0)[0]:
            self._reported = True
            raise HaltServer("The start checks failed: see above.", self._code[0])


def post_fork(server: Any, worker: Any) -> None:
    """In the worker: nothing that it imports is garbage."""
    gc.disable()


def post_worker_init(worker: Any) -> None:
    """In the worker: open the services before it accepts requests, then warm the provider while it listens."""
    import gevent

    from llm_service.app import services_of

    start_check.wait(worker)
    worker.services = services_of(worker.wsgi)
    _shut_down_on_sigterm(worker.services)
    # Modules and services are never freed, and scanning them causes pauses: with 32 clients the p99 of cache hits was
    # 47 ms, and is 32 ms without.
    gc.freeze()
    gc.enable()
    # Later than the first health check: importing the SDK holds the event loop for half a second.
    gevent.spawn_later(0.1, _warm, worker.services)


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
    """In the master: a failed start ends it."""
    start_check.stop_if_failed()


def pre_request(worker: Any, req: Any) -> None:
    """Let other greenlets run: otherwise one busy keep-alive connection keeps the worker to itself."""
    import gevent

    gevent.sleep(0)


def worker_exit(server: Any, worker: Any) -> None:
    """Wait for generations without a caller, interrupt them after APP_GRACE_S, and close the services."""
    services = getattr(worker, "services", None)
    if services is not None:
        services.close()
