"""ControllerRevision."""

from netemu.api.kind import Kind

CONTROLLER_REVISIONS = Kind(
    group="apps",
    version="v1",
    plural="controllerrevisions",
    kind="ControllerRevision",
    namespaced=True,
)
