"""What every command shares: which cluster is meant, its API, and the flags that say so.

A command of class `Command` takes `--cluster` and `-v` wherever the user writes them; one of class
`ObjectCommand` takes kubectl's `-n` as well. They end up in the `Session`, not in the
function's parameters.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from netemu.cli.failures import ClusterNotRunning, CommandFailed

if TYPE_CHECKING:
    from netemu.cli.api import Api
    from netemu.cli.discovery import Discovery

RUN_ROOT = "/run/netemu"
DEFAULT_NAME = "netemu"


class Session:
    """One run of the command line. Everything costly is made when it is first asked for."""

    def __init__(self) -> None:
        self.cluster_flag = ""
        self.server = os.environ.get("NETEMU_SERVER", "")
        self.namespace_flag = ""
        self.verbose = False

    @property
    def namespace(self) -> str:
        """The flag, NETEMU_NAMESPACE, or `default`."""
        return self.namespace_flag or os.environ.get("NETEMU_NAMESPACE") or "default"

    @cached_property
    def cluster(self) -> str:
        """The flag, NETEMU_NAME, or the only cluster that runs here."""
        named = self.cluster_flag or os.environ.get("NETEMU_NAME", "")
        if named:
            return named
        running = running_clusters()
        if len(running) > 1 and DEFAULT_NAME not in running:
            raise CommandFailed(
                f"several clusters run on this machine: {', '.join(running)}",
                hint=f"--cluster {running[0]}, or NETEMU_NAME={running[0]} in the environment",
                exit_code=2,
            )
        return running[0] if len(running) == 1 else DEFAULT_NAME

    @property
    def socket(self) -> str:
        """Path of the API's unix socket, as `ClusterConfig.api_socket` has it (an import less)."""
        if self.server:
            return self.server.removeprefix("unix:")
        return f"{RUN_ROOT}/{self.cluster}/api.sock"

    @cached_property
    def api(self) -> Api:
        from netemu.cli.api import Api

        return Api(self.socket, cluster="" if self.server else self.cluster)

    def close(self) -> None:
        """At the end of the run."""
        if "api" in self.__dict__:
            self.api.close()

    @cached_property
    def discovery(self) -> Discovery:
        from netemu.cli.discovery import Discovery

        return Discovery(self.api)


def running_clusters() -> list[str]:
    """Names of the clusters with an API socket on this machine, sorted."""
    try:
        with os.scandir(RUN_ROOT) as entries:
            return sorted(e.name for e in entries if os.path.exists(f"{e.path}/api.sock"))
    except (FileNotFoundError, PermissionError):
        return []


def not_running(cluster: str, why: str) -> ClusterNotRunning:
    """The error for a socket that nobody answers on."""
    return ClusterNotRunning(
        f'no cluster "{cluster}" is running ({why})' if cluster else f"no API server: {why}",
        hint="sudo netemu up" + (f" --name {cluster}" if cluster not in ("", DEFAULT_NAME) else ""),
    )


pass_session = click.make_pass_decorator(Session, ensure=True)


def _keep(attribute: str) -> Any:
    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Session), attribute, value)

    return callback


def _session_option(*names: str, attribute: str, **attrs: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep(attribute), **attrs)


def shared_options() -> list[click.Parameter]:
    return [
        _session_option(
            "--cluster", attribute="cluster_flag", metavar="NAME", help="Which cluster."
        ),
        _session_option("--server", attribute="server", hidden=True),
        _session_option(
            "-v", "--verbose", attribute="verbose", is_flag=True, help="Tracebacks on errors."
        ),
    ]


class Command(click.Command):
    """A command about a cluster. Its flags may have values, as kubectl's do (`--wait=false`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        plain = [word for arg in args[:at] for word in self._without_value(arg)]
        return super().parse_args(ctx, plain + args[at:])

    def _without_value(self, arg: str) -> list[str]:
        name, equals, value = arg.partition("=")
        flag = self._flag(name) if equals and value in ("true", "false") else None
        if flag is None:
            return [arg]
        if value == "true":
            return [name]
        return list(flag.secondary_opts[:1])

    def _flag(self, name: str) -> click.Option | None:
        for param in self.params:
            if isinstance(param, click.Option) and name in param.opts and param.is_flag:
                return param
        return None


class ObjectCommand(Command):
    """A command about objects, with kubectl's `-n`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            _session_option(
                "-n", "--namespace", attribute="namespace_flag", metavar="NS", help="Namespace."
            )
        )
