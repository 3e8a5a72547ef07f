"""A process that holds the pods' network namespaces by descriptor. Runs alone: no netemu imports.

Pods' namespaces are not mounted: a mount costs 0.35 ms to undo, every new mount namespace copies
all of them, and an unclean end leaves them behind. A descriptor costs nothing, and when this small
process ends, all namespaces of the pods end with it, in one batch. The names in /run/netns are
symbolic links to /proc/PID/fd/N of this process, so `ip netns exec` works on them as usual.

Protocol (SOCK_SEQPACKET, one request a packet; answers are text):
    H uid\nuid…  + descriptors      hold them            answer: their numbers, by spaces
    D uid\nuid…                     drop them            answer: ok
    L offset                        list from `offset`   answer: lines `uid number`, at most 1,000

Started with two inherited descriptors: the listening socket, and a pipe from which one byte says
that the ledger knows this process; if the pipe closes first, nobody would ever end it, so it ends.
SCM_RIGHTS in unix(7), namespaces(7)
"""

import array
import os
import select
import signal
import socket
import sys

PAGE = 1000
FDS = 250


class Holder:
    """uid -> descriptor."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def answer(self, request: str, descriptors: list[int]) -> str:
        verb, _, rest = request.partition(" ")
        if verb == "L":
            page = list(self.held.items())[int(rest) : int(rest) + PAGE]
            return "\n".join(f"{uid} {fd}" for uid, fd in page)
        uids = rest.split("\n")
        for uid in uids:
            if uid in self.held:
                os.close(self.held.pop(uid))
        if verb == "D":
            return "ok"
        self.held.update(zip(uids, descriptors, strict=True))
        return " ".join(map(str, descriptors))


def receive(connection: socket.socket) -> tuple[str, list[int]]:
    """One request and its descriptors; an empty request is the end."""
    size = socket.CMSG_LEN(FDS * 4)
    data, ancillary, _, _ = connection.recvmsg(1 << 17, size, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload)
    return data.decode(), list(fds)


def serve(listener: socket.socket) -> None:
    holder, clients = Holder(), {}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client, select.POLLIN)
                continue
            client = clients[fd]
            try:
                request, descriptors = receive(client)
                if request:
                    client.send(holder.answer(request, descriptors).encode())
                    continue
            except OSError:
                pass
            poll.unregister(fd)
            clients.pop(fd).close()


def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    recorded = int(sys.argv[2])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not os.read(recorded, 1):
        return
    os.close(recorded)
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("-900")
    except OSError:
        pass
    serve(listener)


if __name__ == "__main__":
    main()
