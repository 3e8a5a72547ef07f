#!/usr/bin/env bash
# All that a fresh box needs is what bootstrap installs.
set -euo pipefail
/netemu/scripts/bootstrap
ln -sf /netemu/.venv/bin/netemu /usr/local/bin/netemu
