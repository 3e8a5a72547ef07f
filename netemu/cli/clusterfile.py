"""The Cluster document: among the manifests of `up -f`, or in a file of its own (`--config`)."""

from __future__ import annotations

from collections.abc import Sequence

from netemu.api.resource import Object
from netemu.cli.failures import CommandFailed
from netemu.cli.manifests import Manifest, read


def cluster_document(manifests: Sequence[Manifest], config_file: str) -> tuple[Object | None, str]:
    """(document, where it stands); none at all is (None, ""). Two of them are an error."""
    found = [manifest for manifest in manifests if manifest.is_cluster]
    if config_file:
        own = [manifest for manifest in read([config_file]) if manifest.is_cluster]
        if not own:
            raise CommandFailed(
                f"{config_file}: has no document of kind Cluster, apiVersion netemu.dev/v1",
                exit_code=2,
            )
        found += own
    if len(found) > 1:
        places = " and ".join(manifest.source for manifest in found)
        raise CommandFailed(f"two Cluster documents: {places}; one cluster has one", exit_code=2)
    return (found[0].object, found[0].source) if found else (None, "")
