"""The node's logs as pages: what is below the log directory, and nothing else."""

import os

import pytest

from netemu.node.kubelet.pages import log_page


@pytest.fixture
def directory(tmp_path):
    logs = tmp_path / "pods" / "default_web_u" / "main"
    logs.mkdir(parents=True)
    (logs / "0.log").write_text("a line\n")
    (tmp_path / "secret").write_text("no")
    os.symlink(tmp_path / "secret", logs / "link")
    return tmp_path


async def test_directories_and_files(directory):
    assert b'<a href="pods/">pods/</a>' in log_page(directory, "").body
    assert b'<a href="default_web_u/">' in log_page(directory, "/pods/").body
    assert b'<a href="0.log">' in log_page(directory, "/pods/default_web_u/main").body
    found = log_page(directory, "/pods/default_web_u/main/0.log")
    assert b"".join([part async for part in found.parts]) == b"a line\n"


@pytest.mark.parametrize(
    "path",
    [
        "/secret",
        "/pods/../secret",
        "/pods/default_web_u/main/link",
        "/../../etc/passwd",
        "//etc/passwd",
        "/pods/none",
        "/pods/\0",
    ],
)
def test_what_is_not_there(directory, path):
    assert log_page(directory, path).status == 404
