"""Our completions server as a Ray Serve deployment, one replica a node: `serve run config.yaml`.

It reads the demo's settings (docs/settings.md) from the environment of each node's `ray start`. A
replica's engine is a child process, which ends with it.
"""

from typing import Any

from ray import serve
from starlette.applications import Starlette

from demo import log
from demo.engine_server import engine_app, engine_service
from demo.settings import read_settings

# A node's first start merges and exports a checkpoint.
START_SECONDS = 600


def build() -> Starlette:
    """The ASGI app, made in the replica once its engine could write."""
    settings = read_settings()
    log.set_up(settings.log_format)
    service = engine_service(settings)
    service.begin()
    if service.wait(START_SECONDS) is None:
        raise TimeoutError(f"The engine did not load within {START_SECONDS} s.")
    app = engine_app(service, settings)
    app.state.service = service
    return app


@serve.deployment(
    # Ray's num_cpus limits nothing, and OpenVINO takes all cores: never two on one node.
    max_replicas_per_node=1,
    ray_actor_options={"num_cpus": 1},
    # By default 5, and a queue without an end.
    max_ongoing_requests=read_settings().slots,
    max_queued_requests=64,
    # Three failures end a replica, and a worker that died is back within seconds.
    health_check_period_s=10,
    health_check_timeout_s=10,
    graceful_shutdown_timeout_s=20,
)
@serve.ingress(build)
class Engines:
    """One engine."""

    app: Any

    def check_health(self) -> None:
        """Raises while the engine could not write."""
        if self.app.state.service.state() != "ready":
            raise RuntimeError("The engine's worker is down.")


app = Engines.bind()
