"""Every kind that the API serves, one a file. `ALL` is what the server builds itself from."""

from netemu.api.kind import Kind
from netemu.api.kinds.configmap import CONFIG_MAPS
from netemu.api.kinds.controllerrevision import CONTROLLER_REVISIONS
from netemu.api.kinds.cronjob import CRON_JOBS
from netemu.api.kinds.daemonset import DAEMON_SETS
from netemu.api.kinds.deployment import DEPLOYMENTS
from netemu.api.kinds.endpoints import ENDPOINTS
from netemu.api.kinds.endpointslice import ENDPOINT_SLICES
from netemu.api.kinds.event import EVENTS
from netemu.api.kinds.horizontalpodautoscaler import HORIZONTAL_POD_AUTOSCALERS
from netemu.api.kinds.ingress import INGRESSES
from netemu.api.kinds.job import JOBS
from netemu.api.kinds.lease import LEASES
from netemu.api.kinds.limitrange import LIMIT_RANGES
from netemu.api.kinds.namespace import NAMESPACES
from netemu.api.kinds.networkpolicy import NETWORK_POLICIES
from netemu.api.kinds.node import NODES
from netemu.api.kinds.persistentvolume import PERSISTENT_VOLUMES
from netemu.api.kinds.persistentvolumeclaim import PERSISTENT_VOLUME_CLAIMS
from netemu.api.kinds.pod import PODS
from netemu.api.kinds.poddisruptionbudget import POD_DISRUPTION_BUDGETS
from netemu.api.kinds.replicaset import REPLICA_SETS
from netemu.api.kinds.replicationcontroller import REPLICATION_CONTROLLERS
from netemu.api.kinds.resourcequota import RESOURCE_QUOTAS
from netemu.api.kinds.secret import SECRETS
from netemu.api.kinds.service import SERVICES
from netemu.api.kinds.serviceaccount import SERVICE_ACCOUNTS
from netemu.api.kinds.statefulset import STATEFUL_SETS

ALL: tuple[Kind, ...] = (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINT_SLICES,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESSES,
    JOBS,
    LEASES,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    POD_DISRUPTION_BUDGETS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    STATEFUL_SETS,
)

__all__ = [
    "ALL",
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CRON_JOBS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "HORIZONTAL_POD_AUTOSCALERS",
    "INGRESSES",
    "JOBS",
    "LEASES",
    "LIMIT_RANGES",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PODS",
    "POD_DISRUPTION_BUDGETS",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "STATEFUL_SETS",
]
