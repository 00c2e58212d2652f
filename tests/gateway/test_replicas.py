"""Several gateways on a Ray cluster, asked by the official client."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest
import yaml
from tests.conftest import free_port

from ratchet.core.errors import UsageError
from ratchet.gateway.replicas import app
from ratchet.store import create_workspace
from ratchet.store.requests import read_requests

pytestmark = [
    pytest.mark.local,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra 'ray'"),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "serve" / "ray.yaml"


def test_replicas_answer_as_one(tmp_path):
    """Two replicas by the example's file: each request is answered and logged once; a stream comes in pieces."""
    workspace = create_workspace(tmp_path)
    port = free_port()
    config = yaml.safe_load(EXAMPLE.read_text())
    config["http_options"] = {"host": "127.0.0.1", "port": port}
    (wanted,) = config["applications"]
    wanted["args"]["workspace"] = str(tmp_path)
    (deployment,) = wanted["deployments"]
    deployment["num_replicas"] = 2
    deployment["ray_actor_options"] = {"num_cpus": 0.1}
    (tmp_path / "ray.yaml").write_text(yaml.safe_dump(config))
    paths = [part for part in sys.path if part]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_ADDRESS": "local",  # and not the cluster of a test beside it
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    said = [{"role": "user", "content": "Repeat: one two"}]
    with (tmp_path / "serve.log").open("wb") as log:
        program = [str(Path(sys.executable).with_name("serve")), "run", str(tmp_path / "ray.yaml")]
        server = subprocess.Popen(
            program, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        client = openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0
        )
        until = time.monotonic() + 180
        while not answers(client):
            assert server.poll() is None, (tmp_path / "serve.log").read_text()[-2000:]
            assert time.monotonic() < until, (tmp_path / "serve.log").read_text()[-2000:]
            time.sleep(0.5)
        ids = [
            client.chat.completions.create(model="local:nano", messages=said, max_tokens=9).id
            for _ in range(6)
        ]
        stream = client.chat.completions.create(
            model="local:nano", messages=said, max_tokens=9, stream=True
        )
        pieces = [chunk for chunk in stream if chunk.choices]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody", messages=said)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)

    assert len(pieces) > 2
    logged = [one.id for one in read_requests(workspace.database, after=0.0)]
    assert set(ids) <= set(logged)
    assert len(logged) == len(set(logged)) == 8


def answers(client):
    """Return whether the server is there."""
    try:
        return bool(client.models.list().data)
    except openai.OpenAIError:
        return False


def test_a_workspace_must_be_named():
    """Nothing is served from nowhere."""
    with pytest.raises(UsageError, match="name the workspace's folder"):
        app({})
