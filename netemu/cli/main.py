"""`netemu`: the table of commands, and the one place where errors become text and exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from netemu.cli.failures import (
    DEFECT,
    INTERRUPTED,
    PIPE_CLOSED,
    USAGE,
    describe_failure,
    from_os_error,
)
from netemu.cli.lazy import Entry, LazyGroup
from netemu.cli.session import Session, shared_options
from netemu.errors import NetemuError

SECTIONS = {
    "The cluster": {
        "up": Entry("lifecycle:up", "Bring a cluster up; it is ready when this returns."),
        "down": Entry("lifecycle:down", "Take a cluster down and prove that nothing is left."),
        "status": Entry("lifecycle:status", "What runs, and how far each node has come."),
        "clean": Entry("lifecycle:clean", "Remove what dead clusters left on this machine."),
        "doctor": Entry("doctor:doctor", "What this machine offers, and what it lacks."),
        "node": Entry("node:node", "Add, delete, stop and start nodes."),
        "proxy-mode": Entry("proxymode:proxy_mode", "Show or change how Services are programmed."),
        "kubeconfig": Entry("kubeconfig:kubeconfig", "Print a kubeconfig for kubectl and others."),
        "version": Entry("version:version", "Versions of netemu and of the API."),
    },
    "Objects, in kubectl's words": {
        "apply": Entry("apply:apply", "Apply manifests; return when packets flow."),
        "create": Entry("create:create", "Create objects from files or from flags."),
        "run": Entry("run:run", "Create a pod of one image."),
        "expose": Entry("run:expose", "Create a Service over a workload's pods."),
        "set": Entry("run:set_", "Change images of a workload."),
        "get": Entry("get:get", "Show objects."),
        "describe": Entry(
            "describe.command:describe", "Show an object with all that belongs to it."
        ),
        "delete": Entry("delete:delete", "Delete objects and wait until they are gone."),
        "logs": Entry("logs:logs", "Print the logs of a container."),
        "exec": Entry("exec:exec_", "Run a command in a pod, a node or an outside host."),
        "scale": Entry("scale:scale", "Set the number of replicas."),
        "autoscale": Entry("scale:autoscale", "Let the number of replicas follow the load."),
        "rollout": Entry("rollout:rollout", "Status, history, undo, pause, resume, restart."),
        "wait": Entry("wait:wait", "Wait for a condition, a value or a deletion."),
        "label": Entry("label:label", "Set or remove labels."),
        "annotate": Entry("label:annotate", "Set or remove annotations."),
        "patch": Entry("patch:patch", "Change fields of an object."),
        "cordon": Entry("cordon:cordon", "Let no new pod onto a node."),
        "uncordon": Entry("cordon:uncordon", "Let pods onto a node again."),
        "drain": Entry("cordon:drain", "Evict a node's pods, as before maintenance."),
        "taint": Entry("taint:taint", "Set or remove taints of nodes."),
        "port-forward": Entry("portforward:port_forward", "Reach a pod's port from this machine."),
        "top": Entry("top:top", "CPU and memory of nodes and pods."),
        "api-resources": Entry("apiresources:api_resources", "The kinds that the API serves."),
    },
    "The network": {
        "ping": Entry("ping:ping", "Ping between pods, nodes and hosts."),
        "pingall": Entry("pingall:pingall", "Ping all pairs; a matrix of who reaches whom."),
        "rules": Entry("rules:rules", "The proxy's rules in a node, all or one Service's."),
        "explain": Entry("explain:explain", "Follow one packet: which rule, from which object."),
        "dns": Entry("dns.command:dns", "Look names up as a pod would."),
    },
}


KUBECTLS = ("attach", "auth", "cp", "debug", "diff", "edit", "events", "kustomize", "replace")
"""What people know from kubectl and is left to it: the API serves it."""

EPILOG = """\b
Environment: NETEMU_NAME which cluster, NETEMU_NAMESPACE which namespace.
Exit codes: 0 done; 1 what was checked is false, or it failed; 2 wrong usage; 3 this machine
lacks something; 4 a defect of netemu. `exec` passes its command's own code on."""


@click.group(
    cls=LazyGroup,
    elsewhere=KUBECTLS,
    sections=SECTIONS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A Kubernetes cluster's network on one machine: real packets, no containers."""
    ctx.ensure_object(Session)


cli.params.extend(shared_options())


def main() -> NoReturn:
    """The process's life. At its end the interpreter is not taken apart: that takes 6 ms."""
    code = execute(None)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader has gone
            stream.flush()
    os._exit(code)


def execute(argv: Sequence[str] | None) -> int:
    """Run one command and return its exit code; every error ends here."""
    session = Session()
    gc.set_threshold(100_000)  # a command's life is short: looking for garbage costs more than it
    _look_into_sbin()
    try:
        result = cli.main(argv, prog_name="netemu", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return PIPE_CLOSED
    except click.ClickException as error:
        error.show()
        return USAGE
    except Exception as error:
        return _report(error, verbose=session.verbose)
    finally:
        session.close()


def _look_into_sbin() -> None:
    """Where Debian keeps iptables and others; after a plain `su`, PATH lacks it."""
    there = os.environ.get("PATH", os.defpath).split(":")
    missing = [each for each in ("/usr/sbin", "/sbin") if each not in there]
    os.environ["PATH"] = ":".join(there + missing)


def _report(error: Exception, *, verbose: bool) -> int:
    if isinstance(error, OSError):
        error = from_os_error(error).with_traceback(error.__traceback__)
    if verbose:
        import traceback  # and what it needs: a command that goes well has no use for it

        traceback.print_exception(error)
    if isinstance(error, NetemuError):
        print(describe_failure(error), file=sys.stderr)
        return error.exit_code
    print(
        f"netemu: a defect: {type(error).__name__}: {error}\n"
        "try: the same command with -v, and report what it prints",
        file=sys.stderr,
    )
    return DEFECT


def _close_stdout() -> None:
    """The reader is gone (`netemu get pods | head -1`): leave without a second complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
