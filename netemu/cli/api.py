"""A small synchronous client of the API over its unix socket.

The command line asks one question at a time, so it needs no event loop: asyncio and aiohttp would
add 0.3 s to a command that takes 0.1 s. Objects are plain JSON, failures are `ApiError`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from netemu.api.resource import Object
from netemu.cli.failures import RootNeeded
from netemu.cli.http import Answer, BadAnswer, Connection, target
from netemu.cli.session import not_running
from netemu.errors import ApiError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

Query = Mapping[str, str | None]
Asked = tuple[str, str, Query | None, Any, str, str]
"""Method, path, query, body, content type, accepted type."""


class Api:
    """One cluster's API. `cluster` is only for the text of errors."""

    def __init__(self, path: str, *, cluster: str = "", timeout: float = 60.0) -> None:
        self._path = path
        self._cluster = cluster
        self._timeout = timeout
        self._kept: Connection | None = None

    def close(self) -> None:
        """Close the connection that is kept; the next request opens another one."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def get(self, path: str, query: Query | None = None, *, accept: str = JSON) -> Object:
        return self.request("GET", path, query=query, accept=accept)

    def post(self, path: str, body: Object, query: Query | None = None) -> Object:
        return self.request("POST", path, query=query, body=body)

    def put(self, path: str, body: Object, query: Query | None = None) -> Object:
        return self.request("PUT", path, query=query, body=body)

    def patch(
        self, path: str, body: Any, query: Query | None = None, *, kind: str = MERGE_PATCH
    ) -> Object:
        return self.request("PATCH", path, query=query, body=body, content_type=kind)

    def delete(self, path: str, body: Object | None = None, query: Query | None = None) -> Object:
        return self.request("DELETE", path, query=query, body=body)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float | None = None,
    ) -> Object:
        """One request, one JSON answer; the connection is kept for the next one.

        `timeout`: seconds until the answer; longer ones are for requests that wait in the server.
        """
        asked = (method, path, query, body, content_type, accept)
        limit = timeout or self._timeout
        try:
            response, content = self._answer(asked, limit)
        except TimeoutError as error:
            raise ApiError("Timeout", f"{method} {path}: no answer within {limit:g} s") from error
        except (BadAnswer, ConnectionError) as error:
            raise not_running(self._cluster, f"it hung up during {method} {path}") from error
        _print_warnings(response)
        _check(response, content)
        return _decoded(content)

    def _answer(self, asked: Asked, limit: float) -> tuple[Answer, bytes]:
        """Over the kept connection; over a new one when the server has closed that meanwhile."""
        kept, self._kept = self._kept, None
        connection = kept or self._connect(limit)
        connection.wait_at_most(limit)
        try:
            response = self._send(connection, *asked)
            content = response.read()
        except ConnectionError:
            connection.close()
            if kept is None:
                raise
            return self._answer(asked, limit)
        except BaseException:
            connection.close()
            raise
        self._kept = connection
        return response, content

    def stream(
        self,
        path: str,
        query: Query | None = None,
        *,
        accept: str = JSON,
        timeout: float | None = None,
    ) -> Iterator[bytes]:
        """The lines of an endless answer, each as soon as it is there.

        Raises TimeoutError when nothing comes for `timeout` seconds.
        """
        connection = self._connect(timeout)
        try:
            response = self._send(connection, "GET", path, query, None, JSON, accept)
            if response.status >= 400:
                _check(response, response.read())
            yield from _lines(response)
        finally:
            connection.close()

    def watch(
        self, path: str, query: Query, *, accept: str = JSON, timeout: float | None = None
    ) -> Iterator[tuple[str, Object]]:
        """(type, object) of each event; an ERROR event is raised as ApiError."""
        for line in self.stream(path, {**query, "watch": "true"}, accept=accept, timeout=timeout):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise ApiError.from_status(event["object"])
            yield event["type"], event["object"]

    def _connect(self, timeout: float | None) -> Connection:
        try:
            return Connection(self._path, timeout)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> Exception:
        if isinstance(error, PermissionError):
            return RootNeeded(f"the API of the cluster ({self._path})")
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return not_running(self._cluster, f"{self._path} does not exist")
        if isinstance(error, ConnectionRefusedError):
            return not_running(self._cluster, f"nobody answers on {self._path}")
        return error

    def _send(
        self,
        connection: Connection,
        method: str,
        path: str,
        query: Query | None,
        body: Any,
        content_type: str,
        accept: str,
    ) -> Answer:
        asked = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        headers = {"Accept": accept, "User-Agent": "netemu"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        return connection.ask(method, target(path, asked), headers, data)


def _lines(response: Answer) -> Iterator[bytes]:
    try:
        yield from response.lines()
    except (BadAnswer, ConnectionError):
        return  # the server has gone; whoever follows asks again and hears of it


def _decoded(content: bytes) -> Object:
    found: Object = json.loads(content) if content else {}
    return found


def _check(response: Answer, content: bytes) -> None:
    if response.status < 400:
        return
    try:
        status = json.loads(content)
    except ValueError:
        status = {}
    if isinstance(status, dict) and status.get("kind") == "Status":
        raise ApiError.from_status({"code": response.status} | status)
    text = content.decode(errors="replace").strip() or response.reason
    raise ApiError("InternalError", f"HTTP {response.status}: {text}", code=response.status)


def _print_warnings(response: Answer) -> None:
    """`Warning: 299 - "text"` headers, as kubectl shows them."""
    for header in response.headers("warning"):
        for text in re.findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', header):
            print("Warning: " + text.replace('\\"', '"'), file=sys.stderr)
