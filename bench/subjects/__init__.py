"""What is measured: how each subject is installed and started."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from time import monotonic

from bench.dialects import CHAT, NO_MODEL, RESPONSES, SERVICE, Dialect, Question
from bench.load import Ask
from bench.rig import KEPT, ROOT, cpu_s, free_port, get, pss_mb, server, wait_for

GUNICORN = [sys.executable, "-m", "gunicorn"]
# Those of deploy/gunicorn.conf.py.
WORKER = [
    "-k",
    "gevent",
    "--worker-connections",
    "4000",
    "--backlog",
    "2048",
    "--keep-alive",
    "5",
    "--no-control-socket",
]

# It does not start without one.
LITELLM_KEY = f"sk-{token_hex(32)}"


class NotInstalled(Exception):
    """Why a subject cannot be measured here."""


@dataclass(frozen=True)
class Place:
    """Where a subject runs; `folder` is empty."""

    port: int
    upstream_url: str
    folder: Path


@dataclass(frozen=True)
class Server:
    """A running subject. `start_s`: seconds from its start to the first 200 of its health."""

    name: str
    port: int
    pid: int
    start_s: float
    dialect: Dialect
    headers: tuple[str, ...] = ()

    def asker(self, question: Question) -> Ask:
        return question.asker(self.dialect, self.headers)

    def requests(self, question: Question, numbers: Iterable[int], *, stream: bool = False) -> list[bytes]:
        texts = map(question.asked, numbers)
        return [self.dialect.request(text, stream=stream, headers=self.headers) for text in texts]

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def pss_mb(self) -> float:
        return pss_mb(self.pid)

    def get(self, path: str) -> bytes:
        status, body = get(self.port, path)
        if status != 200:
            raise RuntimeError(f"{self.name}: GET {path} gave {status}")
        return body

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Subject:
    """`launch` gives the command and its environment. `ready`: a path that gives 200 once all is loaded, if not `health`."""

    name: str
    dialect: Dialect
    health: str
    launch: Callable[[Place], tuple[list[str], dict[str, str]]]
    ready: str = ""
    headers: tuple[str, ...] = ()

    @contextmanager
    def running(self, upstream_url: str = "", environ: Mapping[str, str] | None = None) -> Iterator[Server]:
        with TemporaryDirectory() as folder:
            place = Place(free_port(), upstream_url, Path(folder))
            command, env = self.launch(place)
            with server(command, {**env, **(environ or {})}, place.port, self.health) as (process, start_s):
                yield Server(self.name, place.port, process.pid, start_s, self.dialect, self.headers)

    @contextmanager
    def settled(self, upstream_url: str = "", environ: Mapping[str, str] | None = None) -> Iterator[Server]:
        """Running, and ready."""
        with self.running(upstream_url, environ) as server_:
            wait_for(server_.port, self.ready or self.health)
            yield server_


def service_env(place: Place, workers: int = 1) -> dict[str, str]:
    """A fresh database, the history on; the provider is the upstream, or the echo if there is none."""
    provider = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": place.upstream_url} if place.upstream_url else {}
    return {
        "PORT": str(place.port),
        "WEB_CONCURRENCY": str(workers),
        "DATABASE_URL": f"sqlite:///{place.folder}/bench.db",
        # A thousand calls at once are measured; the default is 500.
        "APP_UPSTREAM_SLOTS": "1200",
        **provider,
    }


def _service(name: str, workers: int) -> Subject:
    def launch(place: Place) -> tuple[list[str], dict[str, str]]:
        return [*GUNICORN, "-c", "deploy/gunicorn.conf.py", "wsgi:app"], service_env(place, workers)

    return Subject(name, SERVICE, "/api/v1/health", launch, ready="/api/v1/ready")


def _bare(name: str) -> Subject:
    def launch(place: Place) -> tuple[list[str], dict[str, str]]:
        return [*GUNICORN, *WORKER, "-b", f"127.0.0.1:{place.port}", f"bench.subjects.bare_{name}:app"], {}

    return Subject(name, NO_MODEL, "/api/v1/health", launch)


def _seed(place: Place) -> tuple[list[str], dict[str, str]]:
    # Without the access log: the service writes none either.
    options = f"--host 127.0.0.1 --port {place.port} --no-access-log --app-dir bench/subjects".split()
    env = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": place.upstream_url}
    return [str(installed("seed") / "bin/uvicorn"), *options, "seed:app"], env


def _litellm(place: Place) -> tuple[list[str], dict[str, str]]:
    options = f"--host 127.0.0.1 --port {place.port} --config bench/subjects/litellm.yaml".split()
    # Without the list of models that it would fetch.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": LITELLM_KEY, "HOME": str(place.folder)}
    return [str(installed("litellm") / "bin/litellm"), *options], {**env, "UPSTREAM_URL": place.upstream_url}


def _upstream(place: Place) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "bench.upstream", str(place.port)], {}


UPSTREAM = Subject("upstream", RESPONSES, "/stats", _upstream)
OURS = _service("ours", 1)
OURS_2 = _service("ours-2w", 2)
SMOREST = _bare("smorest")
FLASK = _bare("flask")
SEED = Subject("seed", SERVICE, "/api/v1/health", _seed)
LITELLM = Subject("litellm", CHAT, "/health/liveliness", _litellm, headers=(f"Authorization: Bearer {LITELLM_KEY}",))
# In the order of the table.
SUBJECTS = {subject.name: subject for subject in (OURS, OURS_2, SMOREST, FLASK, SEED, LITELLM, UPSTREAM)}


def installed(name: str) -> Path:
    """The virtual environment of a subject, made from `bench/requirements-NAME.txt` if it is not up to date.

    Raises `NotInstalled`.
    """
    folder, wanted = KEPT / name, (ROOT / f"bench/requirements-{name}.txt").read_text()
    stamp = folder / "requirements.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    began = monotonic()
    print(f"installing {name} into {folder} ...", flush=True)
    _uv("venv", "-q", "--clear", "--python", sys.executable, str(folder))
    _uv("pip", "install", "-q", "--python", str(folder / "bin/python"), "-r", f"bench/requirements-{name}.txt")
    stamp.write_text(wanted)
    print(f"... done in {monotonic() - began:.0f} s", flush=True)
    return folder


def _uv(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(" ".join(done.stderr.split())[:200])
