"""The table of commands, and how errors become text and exit codes."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from netemu.cli import main as main_module
from netemu.cli.main import SECTIONS, execute
from netemu.errors import ApiError, CapabilityError, ConfigError, NetemuError

ENTRIES = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_leads_to_its_command(name: str) -> None:
    module, _, attribute = ENTRIES[name].target.partition(":")
    command = getattr(importlib.import_module(f"netemu.cli.{module}"), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([name, "--help"]) == 0
    assert f"Usage: netemu {name}" in capsys.readouterr().out


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    out = capsys.readouterr().out
    for name, entry in ENTRIES.items():
        assert name in out and entry.help in out


def test_mistyped_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["aply"]) == 2
    assert "did you mean 'apply'?" in capsys.readouterr().err


def test_what_is_left_to_kubectl_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["edit", "deploy/web"]) == 2
    assert "KUBECONFIG=$(netemu kubeconfig --path) kubectl edit" in capsys.readouterr().err


def test_a_mistyped_second_word_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["rollout", "statsu", "deploy/web"]) == 2
    assert "did you mean 'status'?" in capsys.readouterr().err


def test_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["get", "--nope"]) == 2
    assert "--nope" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (NetemuError("it broke", hint="netemu status"), 1, "error: it broke\ntry: netemu status\n"),
        (ConfigError(["a: x", "b: y"]), 2, "error: 2 problems:\n  - a: x\n  - b: y\n"),
        (CapabilityError("no nft", hint="apt-get install nftables"), 3, "error: no nft\ntry: apt"),
        (ApiError("NotFound", 'pods "x" not found'), 1, "Error from server (NotFound): pods"),
        (OSError(28, "No space left on device", "/var/x"), 1, "error: no space left on the disk"),
        (PermissionError(13, "Permission denied", "/x"), 3, "error: permission denied: /x"),
        (ZeroDivisionError("division by zero"), 4, "netemu: a defect: ZeroDivisionError"),
    ],
)
def test_errors_end_as_text_and_code(
    error: Exception,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(main_module.cli, "main", fail)
    assert execute(["get", "pods"]) == code
    err = capsys.readouterr().err
    assert err.startswith(text)
    assert "Traceback" not in err


def test_traceback_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["get", "pods", "--server", "/nonexistent/api.sock"]
    assert execute(words) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert execute([*words, "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_invalid_object_names_each_field() -> None:
    from netemu.cli.failures import describe_failure

    causes = [
        {"field": "spec.ports[0].port", "message": "Invalid value: 0"},
        {"field": "spec.ports[1].port", "message": "Invalid value: 70000"},
    ]
    details = {"kind": "Service", "name": "web", "causes": causes}
    text = describe_failure(ApiError("Invalid", "…", details=details))
    assert text == (
        'The Service "web" is invalid: \n'
        "* spec.ports[0].port: Invalid value: 0\n* spec.ports[1].port: Invalid value: 70000"
    )


def test_no_cluster_names_the_next_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NETEMU_SERVER", raising=False)
    assert execute(["get", "pods", "--cluster", "no-such-cluster"]) == 1
    err = capsys.readouterr().err
    assert 'no cluster "no-such-cluster" is running' in err
    assert "try: sudo netemu up --name no-such-cluster" in err


def test_start_imports_nothing_heavy() -> None:
    """`netemu get` must start in the time that Python and click need."""
    script = (
        "import sys\n"
        "from netemu.cli.main import execute\n"
        "code = execute(['get', 'pods', '--server', '/nonexistent/api.sock'])\n"
        "heavy = {'asyncio', 'aiohttp', 'pyroute2', 'scapy', 'yaml', 'rich', 'cryptography',\n"
        "         'netemu.api.kinds', 'netemu.cluster', 'netemu.node'}\n"
        "print(code, sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "1 []\n", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "parsed"),
    [
        (["--wait=false", "x"], ["--no-wait", "x"]),
        (["--wait=true", "--all=true"], ["--wait", "--all"]),
        (["--all=false"], []),
        (["--selector=true"], ["--selector=true"]),
        (["--", "--all=false"], ["--", "--all=false"]),
    ],
)
def test_flags_may_have_values(words: list[str], parsed: list[str]) -> None:
    """pflag takes `--wait=false`; so scripts written for kubectl have it."""
    from netemu.cli.session import Command

    options: list[click.Parameter] = [
        click.Option(["--wait/--no-wait"]),
        click.Option(["--all"], is_flag=True),
        click.Option(["--selector"]),
        click.Argument(["rest"], nargs=-1),
    ]
    command = Command("x", params=options)
    at = words.index("--") if "--" in words else len(words)
    plain = [part for word in words[:at] for part in command._without_value(word)]
    assert plain + words[at:] == parsed
    command.make_context("x", list(words))


def test_all_that_was_said_is_out_when_the_process_ends(tmp_path: Path) -> None:
    """Also what was printed before an error, into a file, where nothing is sent line by line."""
    script = (
        "import sys\n"
        "from netemu.cli import main\n"
        "def execute(argv):\n"
        "    print('printed'); print('said', file=sys.stderr); return 3\n"
        "main.execute = execute\n"
        "main.main()\n"
    )
    with open(tmp_path / "out", "w") as out:
        done = subprocess.run([sys.executable, "-c", script], stdout=out, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (3, b"said\n")
    assert (tmp_path / "out").read_text() == "printed\n"
