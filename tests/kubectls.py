"""Every kubectl on this machine; NETEMU_KUBECTL may add directories."""

import os
import re
import subprocess
from pathlib import Path

_PLACES = ("/usr/lib/google-cloud-sdk/bin", *os.environ["PATH"].split(":"))


def _found() -> dict[str, str]:
    found: dict[str, str] = {}
    for place in (*_PLACES, *os.environ.get("NETEMU_KUBECTL", "").split(":")):
        for path in sorted(Path(place).glob("kubectl*")) if place else ():
            if not path.is_file() or not os.access(path, os.X_OK):
                continue
            told = subprocess.run([path, "version", "--client"], capture_output=True, text=True)
            version = re.search(r"(?:GitVersion:\"|Client Version: )(v[\d.]+)", told.stdout)
            if version:
                found.setdefault(version[1], str(path))
    return dict(sorted(found.items(), key=lambda item: minor(item[0])))


def minor(version: str) -> int:
    """35 of `v1.35.0`."""
    return int(version.split(".")[1])


KUBECTLS = _found()
"""Version → path, the oldest first."""
ENDS = sorted({*list(KUBECTLS)[:1], *list(KUBECTLS)[-1:]})
"""The oldest and the newest version."""
