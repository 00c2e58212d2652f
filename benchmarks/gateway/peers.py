"""Other gateways before the same upstream, out of what make_peers.sh installed; their defaults are kept but where it says so.

Another one is a function that writes what the gateway reads into a folder and says how it is started and asked, and its
line in PEERS. Nobody needs a key, as nobody does with `ratchet serve` before the first one is made.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """How a gateway is started and asked."""

    title: str
    """With its version."""
    words: list[str]
    env: dict[str, str]
    port: int
    url: str
    model: str = "stub"
    headers: dict[str, str] = field(default_factory=dict)
    divisor: int = 1
    """What its number of requests is divided by, so that a slow gateway does not take all the time."""


def fastapi(installed: Path, folder: Path, upstream: str, port: int) -> Peer:
    python = installed / "bin" / "python"
    words = [str(python), "-m", "uvicorn", "fastapi_httpx:application", "--app-dir", str(HERE), "--port", str(port), "--log-level", "warning", "--no-access-log"]  # fmt: skip
    return Peer(
        f"FastAPI {version(python, 'fastapi')}, httpx {version(python, 'httpx')}, a commit a request",
        words,
        {"UPSTREAM": upstream, "DATABASE": str(folder / "fastapi.db")},
        port,
        f"http://127.0.0.1:{port}/v1",
        divisor=5,
    )


def litellm(installed: Path, folder: Path, upstream: str, port: int) -> Peer:
    """Return LiteLLM's proxy without callbacks, which logs nothing but a line of access on its output."""
    python, config = installed / "bin" / "python", folder / "litellm.json"  # JSON is YAML
    parameters = {"model": "openai/stub", "api_base": upstream, "api_key": "none"}
    content = {
        "model_list": [{"model_name": "stub", "litellm_params": parameters}],
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    config.write_text(json.dumps(content))
    words = [str(installed / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]  # fmt: skip
    return Peer(
        f"LiteLLM proxy {version(python, 'litellm')}",
        words,
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        port,
        f"http://127.0.0.1:{port}/v1",
        divisor=20,
    )


def mlflow(installed: Path, folder: Path, upstream: str, port: int) -> Peer:
    """Return the AI Gateway of `mlflow server`, which writes a trace of each request to SQLite.

    It has one worker, as every server here: its usual four answer about twice as many on two busy cores, but each takes
    seconds over its first request, which runs as short as these would measure. Its runner of background jobs is off, since it would
    take processor time from the others.
    """
    python, database = installed / "bin" / "python", f"sqlite:///{folder / 'mlflow.db'}"
    endpoint = [str(python), str(HERE / "mlflow_endpoint.py"), database, upstream]
    env = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",  # the stub's is one
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    subprocess.run(endpoint, check=True, capture_output=True, env=os.environ | env, cwd=folder)
    words = [str(installed / "bin" / "mlflow"), "server", "--backend-store-uri", database, "--workers", "1", "--port", str(port)]  # fmt: skip
    return Peer(
        f"MLflow AI Gateway {version(python, 'mlflow')}",
        words,
        env,
        port,
        f"http://127.0.0.1:{port}/gateway/mlflow/v1",
        divisor=25,
    )


def portkey(installed: Path, _folder: Path, upstream: str, port: int) -> Peer:
    """Return Portkey's gateway, which is told the upstream by each request and logs nothing.

    It listens on every interface and has no option for another.
    """
    package = installed / "node_modules" / "@portkey-ai" / "gateway"
    return Peer(
        f"Portkey {json.loads((package / 'package.json').read_text())['version']}",
        ["node", str(package / "build" / "start-server.js"), f"--port={port}", "--headless"],
        {},
        port,
        f"http://127.0.0.1:{port}/v1",
        headers={
            "Authorization": "Bearer none",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": upstream,
        },
        divisor=2,
    )


PEERS: dict[str, Callable[[Path, Path, str, int], Peer]] = {
    "portkey": portkey,
    "fastapi": fastapi,
    "litellm": litellm,
    "mlflow": mlflow,
}
"""From what make_peers.sh installed, an empty folder, the upstream's base URL and a free port."""


def version(python: Path, package: str) -> str:
    words = [str(python), "-c", f"from importlib import metadata as m; print(m.version('{package}'))"]  # fmt: skip
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
