"""Which proxy an URL goes through, as Go's httpproxy decides; and how near servers may lead."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hyper.errors import InvalidRequest
from hyper.image import proxy
from hyper.image.reach import ANYWHERE, Place, Reach, Refused, place_of, reach_of

HTTP, HTTPS = "http://a.proxy:1", "http://b.proxy:2"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://example.com/", False),
        ("", "http://localhost:5000/", True),
        ("", "http://127.3.2.1/", True),
        ("", "http://[::1]:5000/", True),
        ("*", "https://example.com/", True),
        ("a.com, * ", "https://example.com/", True),
        ("example.com", "https://example.com/", True),
        ("example.com", "https://EXAMPLE.com:5000/", True),
        ("example.com", "https://sub.example.com/", True),
        ("example.com", "https://myexample.com/", False),
        (".example.com", "https://example.com/", False),
        (".example.com", "https://sub.example.com/", True),
        ("*.example.com", "https://sub.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("example.com:5000", "https://example.com:5000/", True),
        ("example.com:5000", "https://example.com/", False),
        ("example.com:443", "https://example.com/", True),
        ("example.com:80", "http://example.com/", True),
        ("10.0.0.0/8", "https://10.1.2.3:5000/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.1.2.3", "https://10.1.2.3:5000/", True),
        ("10.1.2.3:5000", "https://10.1.2.3:5000/", True),
        ("10.1.2.3:5001", "https://10.1.2.3:5000/", False),
        ("fd00::/8", "https://[fd00::5]/", True),
        ("fd00::5", "https://[fd00::5]:7/", True),
        ("[fd00::5]:7", "https://[fd00::5]:7/", True),
        ("[fd00::5]:8", "https://[fd00::5]:7/", False),
        ("2.3", "https://10.1.2.3/", False),
        (",, ,:80,example.com/8", "https://example.com/", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, direct: bool) -> None:
    """The cases of Go's own documentation and tests."""
    found = proxy.read(HTTP, HTTPS, no_proxy).of(url)
    assert found == (None if direct else HTTPS if url.startswith("https") else HTTP)


def test_each_scheme_has_its_own() -> None:
    """What is missing is a direct connection; a word without a scheme means http."""
    only = proxy.read("", "user:pw@proxy.corp:3128", "")
    assert only.of("http://example.com/") is None
    assert only.of("https://example.com/") == "http://user:pw@proxy.corp:3128"


@pytest.mark.parametrize(
    "bad", ["socks5://h:1", "http://", "http://h:99999", "http://[::1", "ftp://h"]
)
def test_what_is_no_proxy_is_refused(bad: str) -> None:
    """At the daemon's start, without the password."""
    with pytest.raises(InvalidRequest, match=r"https-proxy .* is no proxy") as caught:
        proxy.read("", bad.replace("//", "//user:secret@"), "")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://joe:pw@proxy:1", "http://xxxxx:xxxxx@proxy:1"),
        ("http://joe:p@ss@proxy:1", "http://xxxxx:xxxxx@proxy:1"),
        ("joe:pw@proxy:1", "xxxxx:xxxxx@proxy:1"),
        ("http://proxy:1", "http://proxy:1"),
        ("", ""),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    """As dockerd shows them in /info."""
    assert proxy.masked(url) == shown


@pytest.fixture
def own_address() -> Iterator[str]:
    """An address of this host that is not loopback; a test that needs one is meant for hosts with a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no address but loopback")
        yield probe.getsockname()[0]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("8.8.8.8", Place.PUBLIC),
        ("2606:4700::1111", Place.PUBLIC),
        ("127.0.0.1", Place.HOST),
        ("127.9.9.9", Place.HOST),
        ("0.0.0.0", Place.HOST),
        ("::1", Place.HOST),
        ("::", Place.HOST),
        ("::ffff:127.0.0.1", Place.HOST),
        ("64:ff9b::7f00:1", Place.HOST),
        ("64:ff9b::808:808", Place.PUBLIC),
        ("10.255.255.254", Place.PRIVATE),
        ("172.31.255.254", Place.PRIVATE),
        ("192.168.255.254", Place.PRIVATE),
        ("100.127.255.254", Place.PRIVATE),
        ("198.18.0.1", Place.PRIVATE),
        ("fd12::1", Place.PRIVATE),
        ("::ffff:10.255.255.254", Place.PRIVATE),
        ("169.254.169.254", Place.LINK_LOCAL),
        ("fe80::1%lo", Place.LINK_LOCAL),
        ("::ffff:169.254.169.254", Place.LINK_LOCAL),
        ("64:ff9b::a9fe:a9fe", Place.LINK_LOCAL),
        ("224.0.0.1", Place.NOWHERE),
        ("ff02::1", Place.NOWHERE),
        ("255.255.255.255", Place.NOWHERE),
    ],
)
def test_where_an_address_is(address: str, place: Place) -> None:
    """In whatever clothes it comes."""
    assert place_of(address) is place


def test_an_address_of_this_host_is_as_near_as_loopback(own_address: str) -> None:
    """hyperd's own TCP address is no neighbour's."""
    assert place_of(own_address) is Place.HOST


def test_nobody_leads_nearer_than_he_is() -> None:
    """Several together no nearer than the farthest; metadata is named by nobody but what is there."""
    public, private, host = (reach_of([one]) for one in (Place.PUBLIC, Place.PRIVATE, Place.HOST))
    assert public.places == {Place.PUBLIC}
    assert private.places == {Place.PUBLIC, Place.PRIVATE}
    assert host.places == {Place.PUBLIC, Place.PRIVATE, Place.HOST}
    assert reach_of([Place.HOST, Place.PUBLIC]) == public
    assert reach_of([]) == ANYWHERE
    assert Place.LINK_LOCAL in reach_of([Place.LINK_LOCAL]).places
    assert host & private == private


def test_the_check_is_made_at_the_connection() -> None:
    """Where a socket is made for an address, whatever name it had; the words say what it is."""
    with pytest.raises(Refused, match=r"127\.0\.0\.1 is an address of this host"):
        Reach(frozenset({Place.PUBLIC})).socket(
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
        )
    with ANYWHERE.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))) as made:
        assert made.family is socket.AF_INET
