"""Links of proxied pages lead back through the proxy, however the page comes in."""

import pytest

from netemu.apiserver.http.proxy.links import HtmlLinks, Links

PREFIX = "/api/v1/namespaces/a/pods/web/proxy"
LINKS = Links(prefix=PREFIX, hosts=frozenset(("10.244.0.5:80", "localhost:8001")))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/x", f"{PREFIX}/x"),
        ("/", f"{PREFIX}/"),
        ("/x/?q=1&r#there", f"{PREFIX}/x/?q=1&r#there"),
        ("/a/../../b/", f"{PREFIX}/b/"),
        ("//x/y", "//x/y"),
        ("http://10.244.0.5:80/x", f"{PREFIX}/x"),
        ("https://localhost:8001/x", f"{PREFIX}/x"),
        (f"{PREFIX}/x", f"{PREFIX}/x"),
        ("http://elsewhere/x", "http://elsewhere/x"),
        ("relative/x", "relative/x"),
        ("", ""),
        ("#top", "#top"),
        ("http://[", "http://["),
    ],
)
def test_locations(url: str, wanted: str) -> None:
    assert LINKS.rewrite(url) == wanted


PAGE = (
    b"<!DOCTYPE html><html><head><base href='/'>\n"
    b'<script src="/s.js">if (a < b) document.write("<a href=\\"/no\\">");</script>'
    b"<style>a[href='/no'] > b</style><!-- <a href='/no'> --></head>\n"
    b'<body data-href="/no"><A  class=x HREF="/a?b=1&amp;c=2">5 < 6 <b>bold</b></A>'
    b"<img alt='>' src=/i.png><a href=more>\xff</a><p href='/no'></p><br/></body></html> <a hr"
)
WANTED = (
    PAGE.replace(b"base href='/'", b'base href="%b/"' % PREFIX.encode())
    .replace(b'src="/s.js"', b'src="%b/s.js"' % PREFIX.encode())
    .replace(b'HREF="/a?', b'HREF="%b/a?' % PREFIX.encode())
    .replace(b"src=/i.png", b'src="%b/i.png"' % PREFIX.encode())
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_a_page_in_pieces(size: int) -> None:
    page = HtmlLinks(LINKS)
    pieces = [page.feed(PAGE[at : at + size]) for at in range(0, len(PAGE), size)]
    assert b"".join(pieces) + page.finish() == WANTED


def test_a_tag_without_an_end_passes() -> None:
    page = HtmlLinks(LINKS)
    data = b"<a " + b"x" * 200_000
    assert page.feed(data) + page.finish() == data
