"""What a stand-in answers: who it is, or what the program it stands in for would say.

The test programs are those of Kubernetes' agnhost image, with the same paths and texts:
https://github.com/kubernetes/kubernetes/tree/master/test/images/agnhost
"""

from __future__ import annotations

import json
import time

from netemu.node.standins.dial import Dial
from netemu.node.standins.http import Answer, Request
from netemu.node.supervisor.wire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Program = Callable[["Message", Request], Answer]
    """Identity of the container, request → answer."""


def identify(identity: Message, request: Request) -> Answer:
    """Say which pod this is, and what it saw of the client."""
    path = request.path
    if path == "/hostname":
        return Answer(identity["pod"])
    if path.startswith("/status/") and path[8:].isdigit():
        return Answer(f"{path[8:]}\n", status=int(path[8:]))
    if path == "/burn":
        return _burn(request)
    facts = {
        "pod": identity["pod"],
        "namespace": identity["namespace"],
        "node": identity["node"],
        "ip": identity["ip"],
        "container": identity["container"],
        "image": identity["image"],
        "port": request.port,
        "client": f"{_bracket(request.client[0])}:{request.client[1]}",
        "method": request.method,
        "path": request.target,
        "host": request.headers.get("host", ""),
    }
    if "json" in request.headers.get("accept", "") or request.query.get("format") == "json":
        return Answer(json.dumps(facts) + "\n", kind="application/json")
    lines = "".join(f"{name}: {value}\n" for name, value in facts.items())
    return Answer(lines)


def serve_hostname(identity: Message, request: Request) -> Answer:
    return Answer(identity["pod"])


def netexec(identity: Message, request: Request) -> Answer:
    """agnhost netexec, without running commands."""
    path, query = request.path, request.query
    if path == "/":
        return Answer(f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} +0000 UTC")
    if path in ("/hostname", "/hostName"):
        return Answer(identity["pod"])
    if path in ("/clientip", "/clientIP"):
        return Answer(f"{_bracket(request.client[0])}:{request.client[1]}")
    if path == "/echo":
        code = query.get("code", "200")
        return Answer(query.get("msg", ""), status=int(code) if code.isdigit() else 400)
    if path == "/header":
        return Answer(request.headers.get(query.get("key", "").lower(), ""))
    if path == "/healthz":
        return Answer("")
    if path == "/dial":
        return _dial(query)
    if path == "/redirect":
        code = query.get("code", "302")
        return Answer("", int(code), headers=(("Location", query.get("location", "/")),))
    return Answer("404 page not found\n", status=404)


def _dial(query: dict[str, str]) -> Answer:
    dial = Dial(query)
    answer = Answer(dial.refused, status=400 if dial.refused else 200)
    answer.dial = None if dial.refused else dial
    return answer


def porter(identity: Message, request: Request) -> Answer:
    """agnhost porter: each SERVE_PORT_N or SERVE_TLS_PORT_N answers with that variable's text."""
    told, port = identity.get("env", {}), request.port
    text = told.get(f"SERVE_PORT_{port}", told.get(f"SERVE_TLS_PORT_{port}"))
    if text is None:
        return Answer("", status=404)
    is_page = text.lstrip().startswith("<")  # Go's server looks at a body whose type nobody stated
    return Answer(text, kind=f"text/{'html' if is_page else 'plain'}; charset=utf-8")


def hpa_example(identity: Message, request: Request) -> Answer:
    """The image of Kubernetes' autoscaling walkthrough: every request costs processor time."""
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        pass
    return Answer("OK!")


PROGRAMS: dict[str, Program] = {
    "": identify,
    "netexec": netexec,
    "serve-hostname": serve_hostname,
    "porter": porter,
    "hpa-example": hpa_example,
}


def answer_datagram(
    program: str, identity: Message, data: bytes, client: tuple[str, int]
) -> bytes | None:
    """Echo; netexec and serve-hostname know a few words. None: silence, as netexec has for others.

    An empty datagram would end a client like nc, which probes with an X before what it was told.
    """
    if program == "serve-hostname":
        return str(identity["pod"]).encode()
    if program != "netexec":
        return data
    word, _, rest = data.decode("utf-8", "replace").strip().partition(" ")
    if word.lower() == "hostname":
        return str(identity["pod"]).encode()
    if word.lower() == "clientip":
        return f"{_bracket(client[0])}:{client[1]}".encode()
    return rest.encode() if word.lower() == "echo" and rest else None


def _burn(request: Request) -> Answer:
    """Use the processor for `ms` milliseconds, at most a second: load for autoscaling."""
    wanted = request.query.get("ms", "100")
    end = time.monotonic() + min(1000, int(wanted) if wanted.isdigit() else 100) / 1000
    rounds = 0
    while time.monotonic() < end:
        rounds += 1
    return Answer(f"{rounds}\n")


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address
