"""The volumes of a StatefulSet's pods: made before the pod, kept or dropped after it.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
"""

from __future__ import annotations

from dataclasses import dataclass

from netemu.api import kinds
from netemu.api.kind import Object
from netemu.api.meta import name, namespace
from netemu.client.informer import Informer
from netemu.client.protocol import ApiClient
from netemu.controllers.context import Recorder
from netemu.controllers.statefulset.identity import (
    claim_name,
    claim_templates,
    desired_claim,
    desired_claim_owners,
    ordinal_of,
)
from netemu.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimControl:
    client: ApiClient
    events: Recorder
    claims: Informer

    async def ensure(self, owner: Object, ordinal: int) -> None:
        """Create the claims of one ordinal that are missing."""
        for template in claim_templates(owner):
            wanted = desired_claim(template, owner, ordinal)
            if self.claims.get(f"{namespace(owner)}/{name(wanted)}") is not None:
                continue
            what = f"Claim {name(wanted)} Pod {name(owner)}-{ordinal} in StatefulSet {name(owner)}"
            try:
                await self.client.create(kinds.PERSISTENT_VOLUME_CLAIMS, wanted)
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    continue
                text = f"create {what} failed error: {error}"
                self.events.event(owner, kinds.STATEFUL_SETS, "Warning", "FailedCreate", text)
                raise
            text = f"create {what} success"
            self.events.event(owner, kinds.STATEFUL_SETS, "Normal", "SuccessfulCreate", text)

    async def retain(self, owner: Object, pod: Object, *, scaled: bool) -> None:
        """Bring the owners of the pod's claims in line with the retention policy."""
        for template in claim_templates(owner):
            named = claim_name(template, owner, ordinal_of(pod))
            claim = self.claims.get(f"{namespace(owner)}/{named}")
            if claim is None:
                continue
            wanted = desired_claim_owners(owner, pod, claim, scaled=scaled)
            if wanted != list(claim["metadata"].get("ownerReferences") or ()):
                await self.client.patch(
                    kinds.PERSISTENT_VOLUME_CLAIMS,
                    named,
                    namespace(owner),
                    {"metadata": {"ownerReferences": wanted or None}},
                )
