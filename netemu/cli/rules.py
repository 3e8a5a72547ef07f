"""`netemu rules NODE`: a node's proxy rules, each with the object that it comes from.

With `--kernel`, what the node's kernel holds, as its own tools print it. With `--service`, only
what belongs to one Service: its chains with everything that they lead to, and the lines in shared
chains, maps and sets that name it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping

import click

from netemu.api.resource import Object
from netemu.cli import machines
from netemu.cli.failures import CommandFailed, RootNeeded
from netemu.cli.session import ObjectCommand, Session, pass_session
from netemu.errors import CapabilityError
from netemu.node.programs import install_hint

COMMANDS = {
    "iptables": (("iptables-save",),),
    "nftables": (("nft", "list", "table", "ip", "kube-proxy"),),
    "flat": (("nft", "list", "table", "ip", "netemu-flat"),),
    "ipvs": (("ipvsadm", "-Ln"), ("ipset", "list"), ("iptables-save",)),
}


@click.command(cls=ObjectCommand)
@click.argument("node")
@click.option("--service", default="", metavar="[NS/]NAME", help="Only this Service's rules.")
@click.option("-6", "--ipv6", "ipv6", is_flag=True, help="The rules for IPv6.")
@click.option("--kernel", is_flag=True, help="As the kernel's own tools print them.")
@pass_session
def rules(session: Session, /, node: str, service: str, ipv6: bool, kernel: bool) -> None:
    """A node's proxy rules with the object of each, all or one Service's."""
    if os.geteuid() != 0:
        raise RootNeeded("reading a node's rules")
    name = node.removeprefix("node/")
    chosen = _service(session, service) if service else None
    if kernel:
        _print_kernel(session, name, chosen, ipv6)
    else:
        _print_explained(session, name, chosen, ipv6)


def _no_rules(node: str, service: Object) -> CommandFailed:
    return CommandFailed(
        f"node {node} has no rule of Service {key(service)}",
        hint=f"netemu describe service {service['metadata']['name']}"
        f" -n {service['metadata']['namespace']}",
    )


def _print_explained(session: Session, node: str, chosen: Object | None, ipv6: bool) -> None:
    from netemu.cluster.control import ask

    family, service = 6 if ipv6 else 4, key(chosen) if chosen else ""
    found = ask(session.cluster, "rules", node=node, family=family, service=service)
    if not found and chosen is not None:
        raise _no_rules(node, chosen)
    print(*explained_lines(found), sep="\n")


def explained_lines(rules: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Rules under the chain, map or set that holds them, their objects in a column of their own."""
    places: dict[str, list[tuple[str, str]]] = {}
    for rule in rules:
        places.setdefault(rule["where"], []).append((rule["rule"], rule["origin"]))
    for where, held in places.items():
        yield where
        width = min(max(len(rule) for rule, _ in held), 80)
        yield from (f"  {rule:{width}}  # {origin}" for rule, origin in dict.fromkeys(held))


def _print_kernel(session: Session, node: str, chosen: Object | None, ipv6: bool) -> None:
    machine = machines.find(session.cluster, "node", node)
    found = 0
    for command in COMMANDS[mode_of(session, machine.name)]:
        text = _run(machine.netns, _of_family(command, ipv6))
        lines = text.splitlines() if chosen is None else list(of_service(command[0], text, chosen))
        if lines:
            found += 1
            print(*lines, sep="\n")
    if not found and chosen is not None:
        raise _no_rules(machine.name, chosen)


def mode_of(session: Session, node: str) -> str:
    """The node's proxy mode, from the settings that the cluster runs with."""
    from netemu.cluster.state import load_config

    config = load_config(session.cluster)
    own = next((each.proxy_mode for each in config.nodes if each.name == node), "")
    return own or config.proxy.mode


def key(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _service(session: Session, word: str) -> Object:
    space, _, name = word.removeprefix("svc/").removeprefix("service/").rpartition("/")
    path = f"/api/v1/namespaces/{space or session.namespace}/services/{name}"
    return session.api.get(path)


def _of_family(command: tuple[str, ...], ipv6: bool) -> list[str]:
    if not ipv6:
        return list(command)
    words = ["ip6" if word == "ip" else word for word in command]
    return ["ip6tables-save"] if words == ["iptables-save"] else words


def _run(netns: str, command: list[str]) -> str:
    for program in ("nsenter", command[0]):
        if shutil.which(program) is None:
            raise CapabilityError(f"the program {program} is missing", hint=install_hint(program))
    done = subprocess.run(
        ["nsenter", f"--net={netns}", *command], capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def of_service(program: str, text: str, service: Object) -> Iterator[str]:
    """The lines of a program's output that belong to `service`."""
    if program.startswith(("iptables", "ip6tables")):
        return of_iptables(text, key(service))
    if program == "nft":
        return _of_nft(text, _marks(service))
    return _of_ipvs(text, _marks(service))


def _marks(service: Object) -> re.Pattern[str]:
    """What a line that is about the Service contains: its name, addresses or node ports."""
    spec = service["spec"]
    words = [re.escape(key(service)) + r"(?![\w.-])"]
    addresses = [
        *(spec.get("clusterIPs") or [spec.get("clusterIP")]),
        *(spec.get("externalIPs") or ()),
    ]
    words += [_whole(address) for address in addresses if address not in ("", "None", None)]
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            words.append(rf"\b{port['nodePort']}\b")
    return re.compile("|".join(words))


def _whole(address: str) -> str:
    """A pattern for the address, but not for a longer one that begins or ends with it."""
    after = r"(?!:?[a-f\d])" if ":" in address else r"(?!\.?\d)"
    return rf"(?<![\d.:a-f]){re.escape(address)}{after}"


def of_iptables(text: str, name: str) -> Iterator[str]:
    """Rules whose comment names the Service, and the chains that they lead to, by table."""
    named = re.compile(rf'[" ]{re.escape(name)}(?::[\w.-]+)?[" ]')
    for table, lines in _tables(text):
        rules = [line for line in lines if line.startswith("-A ")]
        chains = {
            target
            for line in rules
            if named.search(line) and (target := _target(line)).startswith("KUBE-")
        }
        own = {chain for chain in chains if re.match(r"KUBE-(SVC|SVL|EXT|FW|SEP)-", chain)}
        chosen = [line for line in rules if named.search(line) or line.split(" ", 2)[1] in own]
        if chosen:
            yield f"*{table}"
            yield from (f":{chain} - [0:0]" for chain in sorted(own))
            yield from chosen


def _tables(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith("*"):
            name, lines = line[1:], []
        elif line == "COMMIT":
            yield name, lines
        else:
            lines.append(line)


def _target(line: str) -> str:
    match = re.search(r"-[jg] (\S+)", line)
    return match[1] if match else ""


def _of_nft(text: str, marks: re.Pattern[str]) -> Iterator[str]:
    """Chains that belong to the Service, and elements of maps and sets that name it."""
    for head, body in _blocks(text.splitlines()):
        if marks.search(head):
            yield from [head, *body, "\t}"]
            continue
        chosen = [part for line in body for part in _elements(line) if marks.search(part)]
        if chosen:
            yield head
            yield from (f"\t\t{part}" for part in chosen)
            yield "\t}"


def _blocks(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    head, body = "", list[str]()
    for line in lines:
        if re.match(r"\t(chain|map|set) ", line):
            head, body = line, []
        elif line == "\t}" and head:
            yield head, body
            head = ""
        elif head:
            body.append(line)


def _elements(line: str) -> list[str]:
    """`elements = { a : b, c : d }` cut into its elements; a rule stays whole."""
    bare = line.strip()
    if bare.startswith(("type ", "typeof ", "comment ", "flags ")):
        return []
    bare = re.sub(r"^elements = \{|\}$", "", bare).strip()
    return [part.strip() for part in bare.split(", ")] if " : " in bare or "," in line else [bare]


def _of_ipvs(text: str, marks: re.Pattern[str]) -> Iterator[str]:
    """A virtual server with its real servers, or a member of an ipset."""
    shown = False
    for line in text.splitlines():
        if line.startswith(("TCP ", "UDP ", "SCTP ")):
            shown = bool(marks.search(line))
        elif not line.startswith("  ->"):
            shown = bool(re.match(r"[\d.]+,", line) and marks.search(line))
        if shown:
            yield line
