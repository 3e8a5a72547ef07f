"""The Deployment that tests bring up where any would do: pods `app: web` that answer on port 80."""

from __future__ import annotations

import json
from typing import Any


def web_deployment(*, container: dict[str, Any] | None = None, **pod: Any) -> str:
    """Four of them, as a manifest; `container` and `pod` are what these have besides."""
    labels = {"app": "web"}
    web = {"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}], **(container or {})}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [web], **pod}}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"replicas": 4, "selector": {"matchLabels": labels}, "template": template},
        }
    )
