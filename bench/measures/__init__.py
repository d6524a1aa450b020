"""What `make bench` measures, in the order in which it does."""

from collections.abc import Callable

from bench.measures import bursts, resources, streams, throughput
from bench.run import Run

# Those that start their own servers come first: later ones leave theirs running.
MEASURES: dict[str, Callable[[Run], None]] = {
    "start": resources.start,
    "memory": resources.memory,
    "burst": bursts.burst,
    "hits": throughput.hits,
    "misses": throughput.misses,
    "streams": streams.streams,
    "lone": streams.lone,
    "hang": bursts.hang,
    "identical": bursts.identical,
}
