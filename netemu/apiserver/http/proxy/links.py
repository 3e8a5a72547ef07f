"""Links of a proxied page: made to lead through the API server again. Pure.

A backend knows nothing of the path under which it is seen, so `Location` headers and the links of
HTML pages that begin with `/` get that path in front.
https://github.com/kubernetes/apimachinery/blob/master/pkg/util/proxy/transport.go
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_ELEMENTS = """
a href; applet codebase; area href; audio src; base href; blockquote cite; body background
button formaction; command icon; del cite; embed src; form action; frame longdesc src
head profile; html manifest; iframe longdesc src; img longdesc src usemap
input src usemap formaction; ins cite; link href; object classid codebase data usemap; q cite
script src; source src; video poster src
"""
_LINKS: dict[bytes, frozenset[bytes]] = {
    name: frozenset(attributes)
    for name, *attributes in (
        row.split() for row in _ELEMENTS.strip().encode().replace(b"\n", b";").split(b";")
    )
}
"""Element → attributes that hold a URL."""
_RAW = (b"script", b"style", b"textarea", b"title", b"xmp", b"noembed", b"noframes", b"iframe")
"""Elements whose content is text, whatever it looks like."""
_TAG = re.compile(rb"""<([A-Za-z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>""")
_ATTRIBUTE = re.compile(rb"""(?<=[\s"'/])([A-Za-z-]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""")
_LONGEST = 64 * 1024
"""Bytes of a tag: what goes on for longer is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """`prefix`: the path up to and with `proxy`; `hosts`: the names that mean the backend."""

    prefix: str
    hosts: frozenset[str]

    def rewrite(self, url: str) -> str:
        """The URL as the client must ask for it; those of other hosts and relative ones stay."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        elsewhere = parts.netloc and parts.netloc not in self.hosts
        if elsewhere or not parts.path.startswith("/"):
            return url
        path = parts.path
        if not path.startswith(self.prefix):
            slash = "/" if path.endswith("/") else ""
            path = self.prefix + posixpath.normpath("/" + path.lstrip("/")).rstrip("/") + slash
        return urlunsplit(("", "", path, parts.query, parts.fragment))


class HtmlLinks:
    """Rewrites a page as it comes: `feed` its parts, then `finish`."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._data, self._at = b"", 0
        self._until = b""
        """What ends the comment or the element of `_RAW` that we are in."""

    def feed(self, data: bytes) -> bytes:
        """What can be said of the page so far."""
        self._data += data
        done = b"".join(self._pieces())
        self._data, self._at = self._data[self._at :], 0
        return done

    def finish(self) -> bytes:
        """What is left of a page that ends within a tag."""
        rest, self._data = self._data, b""
        return rest

    def _take(self, end: int) -> bytes:
        taken, self._at = self._data[self._at : end], end
        return taken

    def _pieces(self) -> Iterator[bytes]:
        while self._at < len(self._data):
            if self._until:
                found = self._data.lower().find(self._until, self._at)
                if found < 0:  # it may have come in part
                    yield self._take(max(self._at, len(self._data) - len(self._until) + 1))
                    return
                yield self._take(found + len(self._until))
                self._until = b""
                continue
            found = self._data.find(b"<", self._at)
            yield self._take(found if found >= 0 else len(self._data))
            if found >= 0:
                piece = self._markup()
                if not piece:
                    return
                yield piece

    def _markup(self) -> bytes:
        """The tag that begins here, or what else `<` means; empty when more of it must come."""
        found = _TAG.match(self._data, self._at)
        if found:
            self._at = found.end()
            name = found[1].lower()
            self._until = b"</" + name if name in _RAW else b""
            return self._tag(name, found[0])
        left = len(self._data) - self._at
        if self._data.startswith(b"<!--", self._at):
            self._until = b"-->"
        elif left < 4 or (self._data[self._at + 1 : self._at + 2].isalpha() and left < _LONGEST):
            return b""
        return self._take(self._at + 1)

    def _tag(self, name: bytes, text: bytes) -> bytes:
        wanted = _LINKS.get(name)
        return _ATTRIBUTE.sub(lambda found: self._link(wanted, found), text) if wanted else text

    def _link(self, wanted: frozenset[bytes], found: re.Match[bytes]) -> bytes:
        if found[1].lower() not in wanted:
            return found[0]
        quoted = found[3][:1] in b"\"'"
        raw = found[3][1:-1] if quoted else found[3]
        value = html.unescape(raw.decode("utf-8", "surrogateescape"))
        made = self._links.rewrite(value)
        if made == value:
            return found[0]
        escaped = html.escape(made).encode("utf-8", "surrogateescape")
        return found[1] + found[2] + b'"' + escaped + b'"'
