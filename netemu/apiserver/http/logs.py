"""`GET pods/{name}/log`: a container's output, as it was or as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from netemu.aio import spawn
from netemu.api import meta
from netemu.api.kind import Kind
from netemu.apiserver.http.call import Call, failure
from netemu.apiserver.http.podtarget import container_of, kubelet_of
from netemu.apiserver.http.requestinfo import is_true
from netemu.client.kubelet import KubeletApi, LogOptions
from netemu.errors import ApiError

_PLAIN = "text/plain"
_FIRST_SECONDS = 0.5
"""How long a follower without output waits for an error before its answer begins."""


async def pod_log(call: Call, kind: Kind) -> web.StreamResponse:
    kubelet, pod = kubelet_of(call, kind)
    options = log_options(call, container_of(call, pod))
    return await send_logs(call, kubelet, call.info.namespace, call.info.name, options)


async def send_logs(
    call: Call, kubelet: KubeletApi, namespace: str, pod: str, options: LogOptions
) -> web.StreamResponse:
    """A log, part by part as it comes."""
    parts = kubelet.logs(namespace, pod, options)
    response = web.StreamResponse(headers={"Content-Type": _PLAIN})
    async with asyncio.TaskGroup() as group:
        # Once the head is sent there is no way to report an error, so wait a moment for one.
        first = spawn(group, _next(parts), name="log-first")
        await asyncio.wait((first,), timeout=_FIRST_SECONDS)
        if first.done() and isinstance(error := first.result(), ApiError):
            return failure(error)
        response.enable_chunked_encoding()
        await response.prepare(call.http)
        part = await first
        while isinstance(part, bytes):
            await response.write(part)
            part = await _next(parts)
    await response.write_eof()
    return response


async def _next(parts: AsyncIterator[bytes]) -> bytes | ApiError | None:
    """The next part; the error in its place; None at the end."""
    try:
        return await anext(parts, None)
    except ApiError as error:
        return error


def log_options(call: Call, container: str) -> LogOptions:
    """PodLogOptions of the query; ApiError when they make no sense."""
    query = call.query
    tail, limit = call.number("tailLines"), call.number("limitBytes")
    since, since_time = call.number("sinceSeconds"), query.get("sinceTime", "")
    if tail is not None and tail < 0:
        raise _invalid("tailLines", tail, "must be greater than or equal to 0")
    if limit is not None and limit < 1:
        raise _invalid("limitBytes", limit, "must be greater than 0")
    if since is not None and since < 1:
        raise _invalid("sinceSeconds", since, "must be greater than 0")
    if since is not None and since_time:
        message = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        raise ApiError("Invalid", f'PodLogOptions "" is invalid: : Forbidden: {message}')
    start = call.ctx.clock.now() - since if since is not None else None
    if since_time:
        try:
            start = meta.seconds_of(since_time)
        except ValueError:
            raise ApiError("BadRequest", f'sinceTime: cannot read "{since_time}"') from None
    return LogOptions(
        container=container,
        follow=is_true(query, "follow"),
        previous=is_true(query, "previous"),
        timestamps=is_true(query, "timestamps"),
        tail_lines=tail,
        since_time=start,
        limit_bytes=limit,
    )


def _invalid(field: str, value: int, why: str) -> ApiError:
    message = f'PodLogOptions "" is invalid: {field}: Invalid value: {value}: {why}'
    return ApiError("Invalid", message)
