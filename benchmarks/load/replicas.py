"""The service on Ray Serve with so many replicas, until SIGTERM: what `--replicas` of the load benchmark starts.

python -m benchmarks.load.replicas PORT DRAFT COUNT [SCORER]
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import ray
from ray import serve

from specprefill_agents import CompressionConfig
from specprefill_agents.serving.ray_serve import deployment
from specprefill_agents.serving.settings import ServiceSettings


def main(port: int, draft: str, count: int, scorer: str = "fused") -> None:
    """Serve from exactly `count` replicas, with as many cores."""
    ended = threading.Event()
    names = ("SPECPREFILL_CACHE_DIR", "SPECPREFILL_HOME", "OMP_NUM_THREADS", "PYTHONPATH")
    variables = {name: os.environ[name] for name in names if name in os.environ}
    ray.init(include_dashboard=False, num_cpus=count, runtime_env={"env_vars": variables}, logging_level="error")
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    settings = ServiceSettings(config=CompressionConfig(scorer=scorer), draft=draft)
    serve.run(deployment(settings, count, min_replicas=count), name="specprefill", route_prefix="/")
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
