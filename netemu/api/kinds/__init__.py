"""Every kind that the API serves, one a file. `ALL` is what the server builds itself from."""

from netemu.api.kind import Kind
from netemu.api.kinds.configmap import CONFIG_MAPS
from netemu.api.kinds.controllerrevision import CONTROLLER_REVISIONS
from netemu.api.kinds.cronjob import CRON_JOBS
from netemu.api.kinds.customresourcedefinition import CUSTOM_RESOURCE_DEFINITIONS
from netemu.api.kinds.daemonset import DAEMON_SETS
from netemu.api.kinds.deployment import DEPLOYMENTS
from netemu.api.kinds.endpoints import ENDPOINTS
from netemu.api.kinds.endpointslice import ENDPOINT_SLICES
from netemu.api.kinds.event import EVENTS
from netemu.api.kinds.horizontalpodautoscaler import HORIZONTAL_POD_AUTOSCALERS
from netemu.api.kinds.ingress import INGRESSES
from netemu.api.kinds.ingressclass import INGRESS_CLASSES
from netemu.api.kinds.ipaddress import IP_ADDRESSES
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
from netemu.api.kinds.podtemplate import POD_TEMPLATES
from netemu.api.kinds.priorityclass import PRIORITY_CLASSES
from netemu.api.kinds.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
)
from netemu.api.kinds.replicaset import REPLICA_SETS
from netemu.api.kinds.replicationcontroller import REPLICATION_CONTROLLERS
from netemu.api.kinds.resourcequota import RESOURCE_QUOTAS
from netemu.api.kinds.reviews import (
    BINDINGS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
)
from netemu.api.kinds.runtimeclass import RUNTIME_CLASSES
from netemu.api.kinds.secret import SECRETS
from netemu.api.kinds.service import SERVICES
from netemu.api.kinds.serviceaccount import SERVICE_ACCOUNTS
from netemu.api.kinds.servicecidr import SERVICE_CIDRS
from netemu.api.kinds.statefulset import STATEFUL_SETS
from netemu.api.kinds.storage import (
    CSI_DRIVERS,
    CSI_NODES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
)

ALL: tuple[Kind, ...] = (
    BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    CSI_DRIVERS,
    CSI_NODES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINT_SLICES,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESSES,
    INGRESS_CLASSES,
    IP_ADDRESSES,
    JOBS,
    LEASES,
    LIMIT_RANGES,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    POD_DISRUPTION_BUDGETS,
    POD_TEMPLATES,
    PRIORITY_CLASSES,
    REPLICATION_CONTROLLERS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    ROLES,
    ROLE_BINDINGS,
    RUNTIME_CLASSES,
    SECRETS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SERVICES,
    SERVICE_ACCOUNTS,
    SERVICE_CIDRS,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    VOLUME_ATTACHMENTS,
)

__all__ = [
    "ALL",
    "BINDINGS",
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CRON_JOBS",
    "CSI_DRIVERS",
    "CSI_NODES",
    "CUSTOM_RESOURCE_DEFINITIONS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "HORIZONTAL_POD_AUTOSCALERS",
    "INGRESSES",
    "INGRESS_CLASSES",
    "IP_ADDRESSES",
    "JOBS",
    "LEASES",
    "LIMIT_RANGES",
    "LOCAL_SUBJECT_ACCESS_REVIEWS",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PODS",
    "POD_DISRUPTION_BUDGETS",
    "POD_TEMPLATES",
    "PRIORITY_CLASSES",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "ROLES",
    "ROLE_BINDINGS",
    "RUNTIME_CLASSES",
    "SECRETS",
    "SELF_SUBJECT_ACCESS_REVIEWS",
    "SELF_SUBJECT_REVIEWS",
    "SELF_SUBJECT_RULES_REVIEWS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SERVICE_CIDRS",
    "STATEFUL_SETS",
    "STORAGE_CLASSES",
    "SUBJECT_ACCESS_REVIEWS",
    "TOKEN_REVIEWS",
    "VOLUME_ATTACHMENTS",
]
