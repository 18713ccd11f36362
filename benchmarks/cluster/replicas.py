"""Prints how many engines run, whenever that changes: `python -m benchmarks.cluster.replicas`.

A process of its own, because only this one needs to be a part of the Ray cluster.
"""

import time

import ray
from ray import serve
from ray.serve.schema import ReplicaState

from benchmarks.cluster.nodes import ADDRESS

SECONDS = 0.5


def running() -> int:
    """Replicas that take texts, as Ray Serve sees them."""
    applications = serve.status().applications.values()
    deployments = [one for application in applications for one in application.deployments.values()]
    return sum(one.replica_states.get(ReplicaState.RUNNING, 0) for one in deployments)


if __name__ == "__main__":
    ray.init(ADDRESS, log_to_driver=False)
    before = -1
    while True:
        if (now := running()) != before:
            print(now, flush=True)
        before = now
        time.sleep(SECONDS)
