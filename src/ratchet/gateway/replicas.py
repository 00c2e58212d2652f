"""The gateway as a Ray Serve application, for many replicas on many machines: `serve run ratchet.gateway.replicas:app workspace=/shared/ws`.

Each replica is a whole gateway with its own models. They share the workspace's database (PostgreSQL, where there are several machines) and
its files, so that releases, adapters, keys and the log are the same for all; limits of keys count in each replica alone. Fine-tuning
jobs are taken by `ratchet work`.
"""

from pathlib import Path
from typing import Any

from ratchet.core.errors import UsageError
from ratchet.gateway.app import Gateway
from ratchet.gateway.platform import JobQueue, platform_app
from ratchet.jobs.queue import Queue
from ratchet.models import workspace_pool
from ratchet.store import Workspace, find_workspace

__all__ = ["app", "make_gateway"]


def make_gateway(workspace: Workspace, queue: JobQueue) -> Gateway:
    """Return the server of a workspace; `queue` takes its fine-tuning jobs."""
    return Gateway(
        workspace.database,
        lambda: workspace_pool(workspace, confined=True),
        names=("local:nano",),
        settings=workspace.settings.serve,
        platform=platform_app(workspace, queue),
        log_folder=workspace.log_folder,
    )


def app(args: dict[str, str]) -> Any:
    """Return the Ray Serve application of the workspace that `args` names; replicas and their GPUs are set in Serve's own configuration.

    Raises: UsageError if no workspace is named, or the extra is missing.
    """
    try:
        from ray import serve
    except ImportError as missing:
        raise UsageError(
            f"replicas need the extra 'ray' ({missing}); install it with: pip install 'ratchet[ray]'"
        ) from missing
    if "workspace" not in args:
        raise UsageError(
            "name the workspace's folder: serve run ratchet.gateway.replicas:app workspace=/shared/ws"
        )
    root = find_workspace(Path(args["workspace"])).root

    def make() -> Gateway:
        workspace = find_workspace(root)
        return make_gateway(workspace, Queue(workspace))

    ratchet = type("Ratchet", (), {})
    return serve.deployment(name="ratchet", max_ongoing_requests=256)(
        serve.ingress(make)(ratchet)
    ).bind()
