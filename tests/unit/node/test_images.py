"""What image names resolve to, on machines that have or lack the programs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netemu.config import ClusterConfig, ImageConfig
from netemu.node.images import (
    ImageTable,
    Port,
    Program,
    StandIn,
    Unknown,
    full_name,
    image_id,
    repository,
)

WEB = (Port(port=80),)


def table(*programs: str, **config: object) -> ImageTable:
    found = {name: f"/usr/bin/{name}" for name in programs}
    return ImageTable(ClusterConfig(**config), found.get)  # type: ignore[arg-type]


def argv(resolved: object) -> Sequence[str]:
    assert isinstance(resolved, Program)
    return resolved.argv


@pytest.mark.parametrize(
    ("image", "full", "repo"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx"),
        ("nginx:1.7.9", "docker.io/library/nginx:1.7.9", "nginx"),
        ("traefik/whoami", "docker.io/traefik/whoami:latest", "whoami"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9", "pause"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "b"),
        ("x@sha256:12", "docker.io/library/x@sha256:12", "x"),
    ],
)
def test_names(image: str, full: str, repo: str) -> None:
    assert (full_name(image), repository(image)) == (full, repo)


def test_the_same_image_has_the_same_id() -> None:
    assert image_id("nginx") == image_id("docker.io/library/nginx:latest") != image_id("nginx:1")


def test_a_known_server_runs_where_the_machine_has_it_and_is_stood_in_for_elsewhere() -> None:
    command = ["nginx", "-g", "daemon off;"]
    assert argv(table("nginx").resolve("nginx:1.7.9", (), (), WEB)) == tuple(command)
    assert argv(table("nginx").resolve("nginx:1.7.9", command, (), WEB)) == tuple(command)
    for given in ((), command):
        resolved = table().resolve("nginx:1.7.9", given, (), (Port(port=8080),))
        assert resolved == StandIn(program="", ports=(Port(port=8080),))
    assert table().resolve("nginx", (), (), ()) == StandIn(program="", ports=WEB)


def test_a_shell_image_runs_its_command_even_if_it_is_missing() -> None:
    assert argv(table().resolve("busybox", ["nosuch"], ["x"], ())) == ("nosuch", "x")
    assert argv(table().resolve("alpine:3", (), (), ())) == ("sh",)
    assert argv(table().resolve("curlimages/curl", (), ["-s", "http://x"], ())) == (
        "curl",
        "-s",
        "http://x",
    )


def test_args_replace_the_command_of_a_shell_image() -> None:
    """`kubectl run tmp --image=busybox -- sh -c 'echo hello'`."""
    assert argv(table().resolve("busybox", (), ["sh", "-c", "x"], ())) == ("sh", "-c", "x")
    assert argv(table().resolve("busybox", (), (), ())) == ("sh",)


def test_an_unknown_image_runs_its_command_or_answers_on_its_ports() -> None:
    assert argv(table().resolve("corp/app:1", ["run"], ["x"], WEB)) == ("run", "x")
    assert table().resolve("corp/app:1", (), ["--flag"], WEB) == StandIn(program="", ports=WEB)


def test_strict_refuses_unknown_images_only() -> None:
    strict = table(strict_images=True)
    resolved = strict.resolve("corp/app:1", ["run"], (), WEB)
    assert isinstance(resolved, Unknown) and "docker.io/corp/app:1: not found" in resolved.message
    assert isinstance(strict.resolve("nginx", (), (), ()), StandIn)


@pytest.mark.parametrize("pattern", ["corp/*", "corp/app", "docker.io/corp/app:1", "*/app:1"])
def test_the_users_entries_come_first(pattern: str) -> None:
    entry = ImageConfig(pattern=pattern, rootfs="/srv/app", command=("/app",), args=("-v",))
    resolved = table(images=(entry,)).resolve("corp/app:1", (), (), WEB)
    assert resolved == Program(argv=("/app", "-v"), env={}, rootfs="/srv/app")
    assert argv(table(images=(entry,)).resolve("corp/app:1", (), ["-q"], WEB)) == ("/app", "-q")
    assert argv(table(images=(entry,)).resolve("corp/app:1", ["sh"], (), WEB)) == ("sh",)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), StandIn(program="", ports=())),
        (("pause",), StandIn(program="", ports=())),
        (
            ("netexec", "--http-port=8083", "--udp-port=8081"),
            StandIn(program="netexec", ports=(Port(port=8083), Port(port=8081, protocol="UDP"))),
        ),
        (
            ("netexec", "--http-port", "8090", "--udp-port", "-1"),
            StandIn(program="netexec", ports=(Port(port=8090),)),
        ),
        (("serve-hostname",), StandIn(program="serve-hostname", ports=(Port(port=9376),))),
        (
            ("serve-hostname", "--udp", "--port=9377"),
            StandIn(program="serve-hostname", ports=(Port(port=9377, protocol="UDP"),)),
        ),
        (("porter",), StandIn(program="porter", ports=WEB)),
    ],
)
def test_agnhost_is_stood_in_for(args: tuple[str, ...], expected: StandIn) -> None:
    image = "registry.k8s.io/e2e-test-images/agnhost:2.40"
    assert table().resolve(image, (), args, WEB) == expected
    assert argv(table().resolve(image, ["sleep"], ["1"], ())) == ("sleep", "1")


def test_agnhost_serves_files_from_a_container() -> None:
    image = "registry.k8s.io/e2e-test-images/agnhost:2.40"
    port_and_root = ("http.server", "--directory", "/", "80")
    assert argv(table().resolve(image, (), ["test-webserver"], ()))[-4:] == port_and_root
    assert argv(table().resolve(image, (), ["test-webserver", "--port=81"], ()))[-1] == "81"


def test_only_our_agnhost_has_our_program() -> None:
    image = "registry.k8s.io/e2e-test-images/agnhost:2.40"
    assert table().files(image)["agnhost"].startswith("#!/bin/sh\n")
    assert table().files("nginx:1") == {}
    own = ImageConfig(pattern="*/agnhost*", rootfs="/srv/agnhost", command=("/agnhost",))
    assert table(images=(own,)).files(image) == {}


def test_coredns_is_our_resolver() -> None:
    resolved = table().resolve("registry.k8s.io/coredns/coredns:v1.13.1", (), (), ())
    assert argv(resolved)[1:3] == ("-m", "netemu.dns")
    assert "{pod}" in argv(resolved)
    own = table().resolve("coredns/coredns", (), ("-conf", "/etc/coredns/Corefile"), ())
    assert argv(own)[-3:] == ("{pod}", "-conf", "/etc/coredns/Corefile")
