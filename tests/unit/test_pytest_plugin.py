import pytest

from netemu.errors import NetemuError
from netemu.pytest_plugin import Cluster


def test_a_failing_command_is_an_error_in_its_own_words():
    with pytest.raises(NetemuError, match='(?s)netemu get pods: exit code 1.*"none-such"'):
        Cluster("none-such").run("get", "pods")


def test_a_command_may_fail():
    done = Cluster("none-such").run("get", "pods", check=False)
    assert done.returncode == 1 and not done.stdout and "none-such" in done.stderr


def test_the_fixtures_are_known_to_pytest(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("netemu.pytest_plugin")
    assert pytestconfig.getoption("--netemu-keep") is False
