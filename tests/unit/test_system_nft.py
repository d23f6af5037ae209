"""The wall's text; that it holds is shown in tests/vm/test_walls.py."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from hyper.system import nft
from hyper.system.resolv_conf import Lookup, lookup


def test_it_replaces_its_own_table_and_no_other() -> None:
    text = nft.ruleset(first_uid=100, count=10)
    assert text.startswith(
        "table inet hyper_wall\ndelete table inet hyper_wall\ntable inet hyper_wall {"
    )
    assert "flush" not in text
    assert "meta skuid 100-109 jump machine" in text


def test_a_local_resolver_is_let_through() -> None:
    names = [ip_address(text) for text in ("127.0.0.53", "::1", "192.0.2.1")]
    text = nft.ruleset(first_uid=1, count=1, resolvers=names)
    assert "ip daddr 127.0.0.53 udp dport 53 accept" in text
    assert "ip6 daddr ::1 tcp dport 53 accept" in text
    assert "192.0.2.1" not in text


def test_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 9.9.9.9\nnameserver 127.0.0.53\nsearch x\nnameserver\n"
        "nameserver junk\nnameserver fe80::1%eth0\n"
    )
    assert nft.resolvers(path) == [ip_address("127.0.0.53"), ip_address("fe80::1")]
    assert nft.resolvers(tmp_path / "missing") == []


def test_how_the_host_looks_names_up(tmp_path: Path) -> None:
    """The last search or, without one, the domain; options; nothing of a file that is not there."""
    path = tmp_path / "resolv.conf"
    path.write_text("domain a.org\noptions rotate\n# search no\n")
    assert lookup(path) == Lookup(("a.org",), ("rotate",))
    path.write_text("domain a.org\nsearch b.org\nsearch c.org d.org\n")
    assert lookup(path) == Lookup(("c.org", "d.org"))
    assert lookup(tmp_path / "missing") == Lookup()
