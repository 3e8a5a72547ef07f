"""`python -m netemu.dns`: the resolver as a process, in a pod or standing alone.

    python -m netemu.dns --api unix:/run/netemu/c/api.sock --name POD [--configmap NS/NAME]
    python -m netemu.dns --objects FILE|DIR [--corefile FILE] [--listen 127.0.0.1:1053]

In a pod the Corefile comes from the ConfigMap, or from the file of CoreDNS's own flag `-conf`; how
far the answers are current is reported to the API as `dns/POD`. Ends on SIGTERM and SIGINT, after
the lame duck of `health`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from netemu.dns import logging_format
from netemu.dns.process import Options, run
from netemu.errors import NetemuError


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    words = parser.parse_args(argv)
    if words.workers > 1 and (words.api or any(port == 0 for _, port in words.listen)):
        parser.error("--workers goes with --objects and a fixed port only")
    logging_format.configure(words.log_level)
    options = Options(
        api=words.api,
        configmap=words.configmap,
        name=words.name,
        objects=tuple(words.objects),
        corefile=words.corefile,
        listen=tuple(words.listen),
        resolv_conf=words.resolv_conf,
        local=tuple(words.local_address),
        workers=words.workers,
    )
    try:
        return run(options)
    except NetemuError as error:
        sys.stderr.write(f"error: {error}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return error.exit_code


def listen_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:1053`, `[::1]:1053`, `:1053`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDR:PORT")
    return host.strip("[]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m netemu.dns", description="netemu's resolver")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--api", default="", help="unix:PATH or URL of the API server")
    where.add_argument(
        "--objects", type=Path, action="append", default=[], help="YAML or JSON file, or directory"
    )
    parser.add_argument("--configmap", default="kube-system/coredns", help="NAMESPACE/NAME")
    parser.add_argument("--name", default="", help="the pod's name, for progress reports")
    parser.add_argument(
        "--corefile", "-conf", type=Path, help="instead of the ConfigMap's or the default"
    )
    parser.add_argument(
        "--listen", type=listen_address, action="append", default=[], metavar="ADDR:PORT"
    )
    parser.add_argument("--resolv-conf", type=Path, default=Path("/etc/resolv.conf"))
    parser.add_argument("--local-address", action="append", default=[], help="for NS records")
    parser.add_argument("--workers", type=int, default=1, help="processes; not with --api")
    parser.add_argument("--log-level", default="INFO")
    return parser


if __name__ == "__main__":
    sys.exit(main())
