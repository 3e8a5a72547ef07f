"""The API server: its store, its cache, the pipeline, and who may come in how.

`open` makes everything ready for clients in this process; `run` also serves HTTP, until cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netemu.aio import Clock, SystemClock, spawn
from netemu.api import kinds
from netemu.api.kind import Kind, Object
from netemu.api.metrics import METRICS
from netemu.apiserver.auth.authenticator import Authenticator
from netemu.apiserver.auth.gate import Gate
from netemu.apiserver.auth.pki import Pki
from netemu.apiserver.auth.sharedkeys import share_keys
from netemu.apiserver.auth.tokens import Signer
from netemu.apiserver.auth.user import User
from netemu.apiserver.bootstrap import bootstrap, point_service
from netemu.apiserver.cache import Cache
from netemu.apiserver.customresources import CustomResources
from netemu.apiserver.housekeeping import Housekeeping
from netemu.apiserver.http.discovery import Documents
from netemu.apiserver.http.listeners import Listeners
from netemu.apiserver.http.tokenrequests import make_token
from netemu.apiserver.kubeconfig import admin_kubeconfig
from netemu.apiserver.local import LocalClient
from netemu.apiserver.members import Member, Members
from netemu.apiserver.pipeline.context import Context
from netemu.apiserver.pipeline.quota import charge
from netemu.apiserver.progress import Progress
from netemu.apiserver.registry import Registry
from netemu.apiserver.strategies.claims import Claims
from netemu.apiserver.strategies.customresourcedefinition import (
    CustomResourceDefinitionStrategy,
)
from netemu.apiserver.strategies.namespace import NamespaceStrategy
from netemu.apiserver.strategies.pod import PodStrategy
from netemu.apiserver.strategies.service import ServiceStrategy
from netemu.apiserver.strategies.strategy import Strategy
from netemu.client.kubelet import KubeletApi
from netemu.client.usage import UsageSource
from netemu.config.cluster import ClusterConfig, EtcdConfig
from netemu.errors import ApiError
from netemu.store.etcd import EtcdStore
from netemu.store.etcdgateway import Tls
from netemu.store.protocol import Store
from netemu.store.sqlite import SqliteStore

Kubelets = Callable[[str], KubeletApi]
"""The kubelet of a node, by the node's name; ApiError when there is none."""


def _no_kubelets(node: str) -> KubeletApi:
    raise ApiError("ServiceUnavailable", f'no kubelet of node "{node}" is connected')


def etcd_store(config: EtcdConfig) -> EtcdStore:
    """The etcd that `config` names; not open yet."""
    tls = Tls(ca=config.ca_file, certificate=config.cert_file, key=config.key_file)
    return EtcdStore(config.servers, prefix=config.prefix, tls=tls)


def _store(config: ClusterConfig) -> Store:
    """The etcd that the cluster shares with others, or SQLite in its data directory."""
    if config.etcd.servers:
        return etcd_store(config.etcd)
    return SqliteStore(config.data_dir / "store.db", fsync=config.fsync)


class ApiServer:
    """One cluster's API. Without `store` it is the one that `config` names."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        store: Store | None = None,
        socket: Path | None = None,
        pki: Path | None = None,
        tokens: Mapping[str, User] | None = None,
        kubelets: Kubelets = _no_kubelets,
        usage: UsageSource | None = None,
        clock: Clock | None = None,
        all_kinds: Sequence[Kind] = kinds.ALL,
    ) -> None:
        self.config = config
        self.store = store or _store(config)
        self.socket = socket or config.api_socket
        self.port = 0
        """The TCP port on loopback, while `run` serves."""
        self.registry = Registry([*all_kinds, *(METRICS if usage else ())])
        self.documents = Documents(self.registry)
        self.cache = Cache(self.store, self.registry)
        self.progress = Progress(self.cache)
        self.kubelets = kubelets
        self.usage = usage
        clock = clock or SystemClock()
        claims = None
        if isinstance(self.store, EtcdStore):
            claims = Claims(self.store, self.cache.reach, clock.now)
        self._services = ServiceStrategy(
            config.service_subnets, config.node_port_range, claims=claims
        )
        self.context = Context(
            store=self.store,
            cache=self.cache,
            registry=self.registry,
            clock=clock,
            strategies=self._strategies(),
            charge=charge,
        )
        self._custom = CustomResources(self.context)
        self._pki_directory = pki or config.data_dir / "pki"
        self._static_tokens = dict(tokens or {})
        self._listeners = Listeners(self)
        self._opened = False

    def _strategies(self) -> dict[tuple[str, str], Strategy]:
        return {
            ("", ""): Strategy(),
            ("", "pods"): PodStrategy(int(self.config.timing.pod_toleration)),
            ("apiextensions.k8s.io", "customresourcedefinitions"): (
                CustomResourceDefinitionStrategy()
            ),
            ("", "namespaces"): NamespaceStrategy(),
            ("", "services"): self._services,
        }

    async def open(self) -> None:
        """Open the store and make the objects that every cluster has."""
        if self._opened:
            return
        await self.store.open()
        if self.store.shared:
            await share_keys(self.store, self._pki_directory)
        await asyncio.to_thread(self._open_keys)
        await self.cache.open()
        services = self.registry.find("", "v1", "services")
        if services is not None:
            cidrs = self.registry.find("networking.k8s.io", "v1", "servicecidrs")
            self._services.follow(self.cache, services, cidrs)
        self._custom.follow()
        await bootstrap(
            self.context,
            service_ip=self.config.api_service_ip,
            service_subnets=self.config.service_subnets,
        )
        self._opened = True

    def _open_keys(self) -> None:
        self.pki = Pki(self._pki_directory)
        self.signer = Signer(self.pki.key("sa"))
        self.authenticator = Authenticator(
            self.signer, self._present, self.context.clock.now, self._static_tokens
        )
        self.gate = Gate(self.authenticator, self.cache, self.registry)

    def _present(self, plural: str, namespace: str, name: str) -> Object | None:
        kind = self.registry.find("", "v1", plural)
        entry = self.cache.get(kind, namespace, name) if kind is not None else None
        return entry.object if entry is not None else None

    def admin_kubeconfig(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """YAML for an administrator; host and port default to the loopback listener."""
        server = f"https://{host}:{port or self.port}"
        return admin_kubeconfig(self.pki, self.config.name, server)

    def token(self, namespace: str, account: str, **spec: Any) -> Object:
        """A TokenRequest's answer for a ServiceAccount; `spec` as in TokenRequestSpec."""
        kind = self.registry.find("", "v1", "serviceaccounts")
        assert kind is not None
        return make_token(self.context, self.signer, kind, namespace, account, spec)

    async def listen(self, host: str, port: int) -> int:
        """Listen with TLS on one more address, while `run` runs; returns the port."""
        return await self._listeners.listen(host, port)

    async def close(self) -> None:
        """Commit and close the store; `run` does so by itself."""
        if self._opened:
            self._opened = False
            await self.store.close()

    def local_client(self, field_manager: str = "") -> LocalClient:
        """A client for code in this process; `field_manager` empty: no managedFields."""
        return LocalClient(self.context, self.progress, field_manager=field_manager)

    async def set_endpoint(self, address: str, port: int) -> None:
        """Let the Service `kubernetes` lead to this address, where pods reach the API."""
        await point_service(self.context, (address,), port)

    def members(self, me: Member) -> Members:
        """This server's membership in the cluster that shares its etcd."""
        assert isinstance(self.store, EtcdStore), "other stores have one server"
        return Members(self.store, me)

    async def set_members(self, members: Sequence[Member]) -> None:
        """Let the Service `kubernetes` lead to all of them."""
        if members:
            addresses = sorted(member.address for member in members)
            await point_service(self.context, addresses, members[0].port)

    async def run(self, *, ready: asyncio.Event | None = None) -> None:
        """Serve until cancelled; `ready` is set when clients can connect."""
        listeners = self._listeners
        try:
            async with asyncio.TaskGroup() as group:
                spawn(group, self.store.run(), name="store")
                spawn(group, self.cache.run(), name="cache")
                await self.open()
                await listeners.open(group)
                self.port = listeners.port
                spawn(group, Housekeeping(self.context).run(), name="api-housekeeping")
                spawn(group, self._custom.run(), name="api-custom-resources")
                if ready is not None:
                    ready.set()
                await asyncio.get_running_loop().create_future()
        finally:
            await listeners.close()
            await self.close()
