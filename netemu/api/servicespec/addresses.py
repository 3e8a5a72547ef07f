"""Rules for a Service's addresses and address families.

https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from netemu.api import names
from netemu.api.invalid import duplicate, invalid, not_supported, required
from netemu.api.kind import Cause, Object
from netemu.api.servicespec.changes import HEADLESS, is_headless

FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_ONCE = "may not change once set"


def not_special(address: str, path: str) -> list[Cause]:
    """An address that endpoints and external IPs may have: no loopback, no link-local."""
    return [invalid(path, address, why) for why in _wrong_with(address)]


def unmapped(address: Address) -> Address:
    """What an IPv6 form of an IPv4 address (::ffff:10.0.0.1) means: the latter."""
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def _wrong_with(address: str) -> tuple[str, ...]:
    """A Service's endpoints are written whole each time one of them changes."""
    wrong = names.ip(address)
    if wrong:
        return tuple(wrong)
    found = unmapped(ipaddress.ip_address(address))
    if found.is_unspecified:
        wrong.append(f"may not be unspecified ({address})")
    if found.is_loopback:
        wrong.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if found.is_link_local:
        wrong.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if found.is_multicast and str(found).startswith(("224.0.0.", "ff02:")):
        wrong.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(wrong)


def check_addresses(spec: Object) -> list[Cause]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, as they stand."""
    single, several = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    causes = _check_first(single, several)
    causes += _check_families(spec)
    wrong = False
    for index, address in enumerate(several):
        if index == 0 and address == HEADLESS:
            if len(several) > 1:
                wrong = True
                message = "'None' must be the first and only value"
                causes.append(invalid("spec.clusterIPs", several, message))
            continue
        problems = names.ip(address)
        wrong = wrong or bool(problems)
        causes += [invalid(f"spec.clusterIPs[{index}]", address, why) for why in problems]
    if len(several) > 2:
        causes.append(invalid("spec.clusterIPs", several, "may only hold up to 2 values"))
    if wrong:
        return causes
    if len(several) > 1 and len({":" in address for address in several}) == 1:
        message = "may specify no more than one IP for each IP family"
        causes.append(invalid("spec.clusterIPs", several, message))
    if not is_headless(spec):
        causes += _check_matching(several, spec.get("ipFamilies") or [])
    return causes


def _check_first(single: str, several: list[str]) -> list[Cause]:
    if single and not several:
        return [required("spec.clusterIPs")]
    if single and several[0] != single:
        return [invalid("spec.clusterIPs", several, "first value must match `clusterIP`")]
    if several and not single:
        message = "must be empty when `clusterIP` is not specified"
        return [invalid("spec.clusterIPs", several, message)]
    return []


def _check_families(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in FAMILIES:
            causes.append(not_supported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        if family in seen:
            causes.append(duplicate(f"spec.ipFamilies[{index}]", family))
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _POLICIES:
        causes.append(not_supported("spec.ipFamilyPolicy", policy, _POLICIES))
    return causes


def _check_matching(addresses: list[str], families: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if family in FAMILIES and (family == "IPv6") != (":" in address):
            message = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            causes.append(invalid(f"spec.clusterIPs[{index}]", address, message))
    return causes


def check_cluster_ips(spec: Object, before: Object) -> list[Cause]:
    """A Service keeps its primary address and family for life, unless it is ExternalName."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    if is_headless(spec) and is_headless(before):
        return []
    new, old = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    causes: list[Cause] = []
    if old and not new:
        message = "primary clusterIP can not be unset"
        causes.append(invalid("spec.clusterIPs[0]", new, message))
    elif old and new[0] != old[0]:
        causes.append(invalid("spec.clusterIPs[0]", new, _ONCE))
    elif len(new) == len(old) == 2 and new[1] != old[1]:
        causes.append(invalid("spec.clusterIPs[1]", new, _ONCE))
    elif len(new) == 1 < len(old) and spec.get("ipFamilyPolicy") != "SingleStack":
        message = "must be 'SingleStack' to release the secondary cluster IP"
        causes.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), message))
    if is_headless(spec) == is_headless(before):
        families, former = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
        if families and former and families[0] != former[0]:
            causes.append(invalid("spec.ipFamilies[0]", families, _ONCE))
    return causes
