"""Which kernel interface iptables' programs speak: nf_tables, or the older one called legacy.

The machine decides, as it does for kube-proxy: Debian's alternatives, or what its image carries.
Rules of both at once in one namespace would be two firewalls in a row, so netemu never asks for
one by its own name. https://manpages.debian.org/bookworm/iptables/xtables-nft.8.en.html
"""

from __future__ import annotations

import functools
import shutil
import subprocess

NFT, LEGACY = "nf_tables", "legacy"


def back_end(program: str = "iptables-restore") -> str:
    """What `program` speaks; "" when it is not installed or older than the choice."""
    where = shutil.which(program)
    return _back_end(where) if where else ""


@functools.cache
def _back_end(where: str) -> str:
    done = subprocess.run([where, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().partition(" (")[2].rstrip(")")
