"""Clusters and stores on this machine, of the kits that Ray and moto test themselves with."""

from __future__ import annotations

import logging
import os
import time
import warnings

import pytest

MEMORY = 100 * 2**20


@pytest.fixture(scope="module")
def store():
    """An S3 store on loopback, found by all programs that are started later; yields a client."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="shoot")
        yield client
        client.close()
    server.stop()


@pytest.fixture(scope="module")
def cluster(store):
    """Two nodes of one core each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    pytest.importorskip("ray")
    with warnings.catch_warnings():
        # Ray leaves pipes and files of the programs that it starts to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        from ray.cluster_utils import Cluster

        cluster = _started(Cluster)
        yield cluster
        cluster.shutdown()


def _started(make):
    """Ray gives its programs half a minute to start, on busy machines too: it is asked again."""
    for attempt in range(3):
        cluster = make()
        try:
            cluster.add_node(
                num_cpus=1,
                object_store_memory=MEMORY,
                include_dashboard=False,
                _system_config={
                    "health_check_initial_delay_ms": 1000,
                    "health_check_period_ms": 1000,
                    "health_check_failure_threshold": 3,
                },
            )
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
        except Exception:
            cluster.shutdown()
            if attempt == 2:
                raise
            time.sleep(1)
        else:
            return cluster
    raise AssertionError
