"""What every namespace has: the ServiceAccount `default` and the cluster's root certificate.

https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ (kube-root-ca.crt)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from netemu.api import kinds
from netemu.api.kind import Object, Resource
from netemu.api.meta import key, name, namespace
from netemu.controllers.context import ControllerContext
from netemu.controllers.controller import Controller, Keys
from netemu.errors import ApiError

ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def desired_root_ca(space: str, certificate: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA,
            "namespace": space,
            "annotations": {"kubernetes.io/description": _DESCRIPTION},
        },
        "data": {"ca.crt": certificate},
    }


def desired_account(space: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": space},
    }


def is_active(namespace: Object | None) -> bool:
    return namespace is not None and (namespace.get("status") or {}).get("phase") != "Terminating"


class ServiceAccountController(Controller):
    """Keys are namespaces."""

    name: ClassVar[str] = "serviceaccount"
    workers: ClassVar[int] = 2

    def __init__(self, context: ControllerContext, root_ca: str = "") -> None:
        super().__init__(context)
        self._root_ca = root_ca
        self.namespaces = self.watch(kinds.NAMESPACES, _own)
        self.accounts = self.watch(kinds.SERVICE_ACCOUNTS, _named("default"))
        self.configs = self.watch(kinds.CONFIG_MAPS, _named(ROOT_CA))

    async def reconcile(self, key: str) -> float | None:
        if not is_active(self.namespaces.get(key)):
            return None
        if self.accounts.get(f"{key}/default") is None:
            await self._create(kinds.SERVICE_ACCOUNTS, desired_account(key))
        if self._root_ca:
            present = self.configs.get(f"{key}/{ROOT_CA}")
            wanted = desired_root_ca(key, self._root_ca)
            if present is None:
                await self._create(kinds.CONFIG_MAPS, wanted)
            elif present.get("data") != wanted["data"]:
                await self.client.update(kinds.CONFIG_MAPS, {**present, "data": wanted["data"]})
        return None

    async def _create(self, resource: Resource, obj: Object) -> None:
        try:
            made = await self.client.create(resource, obj)
        except ApiError as error:
            if error.reason not in ("AlreadyExists", "Forbidden"):
                raise
        else:
            self.writes.note(namespace(obj), self.context.informer(resource), made)


def _own(old: Object | None, new: Object | None) -> Iterable[str]:
    return (key(new),) if new else ()


def _named(wanted: str) -> Keys:
    def keys(old: Object | None, new: Object | None) -> Iterable[str]:
        obj = new or old
        return (namespace(obj),) if obj and name(obj) == wanted else ()

    return keys
