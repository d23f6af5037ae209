"""The wall between guests and services on the host's loopback.

User networking (libslirp's) leads 10.0.2.2 to the host's 127.0.0.1 from within the host's network namespace. So packets
of machines' user ids to loopback and link-local addresses are refused, but for replies to published ports and the
resolver. All of it lives in one table, ``inet hyper_wall`` if not named otherwise (two daemons on one host: one each);
no other is ever touched. Root only.

Source: nft(8), "META EXPRESSIONS" skuid, "CONNTRACK EXPRESSIONS".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from hyper.system import nftables

TABLE = "hyper_wall"
_LOCAL_4 = "127.0.0.0/8, 169.254.0.0/16, 0.0.0.0/8"
_LOCAL_6 = "::1, fe80::/10"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def ruleset(
    *, first_uid: int, count: int, resolvers: Sequence[Address] = (), table: str = TABLE
) -> str:
    """The text for nft that replaces the table, in one transaction, whether it existed or not."""
    rules = [
        # Declared first: deleting what does not exist would fail.
        f"table inet {table}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        "  chain output {",
        "    type filter hook output priority filter; policy accept;",
        f"    meta skuid {first_uid}-{first_uid + count - 1} jump machine",
        "  }",
        "  chain machine {",
        *(f"    {rule}" for resolver in resolvers for rule in _resolver(resolver)),
        # Replies to who connected to a published port. (New connections only are refused.)
        f"    ip daddr {{ {_LOCAL_4} }} ct state established accept",
        f"    ip6 daddr {{ {_LOCAL_6} }} ct state established accept",
        # A refusal the guest sees at once, not a packet lost.
        f"    ip daddr {{ {_LOCAL_4} }} meta l4proto tcp reject with tcp reset",
        f"    ip6 daddr {{ {_LOCAL_6} }} meta l4proto tcp reject with tcp reset",
        f"    ip daddr {{ {_LOCAL_4} }} reject",
        f"    ip6 daddr {{ {_LOCAL_6} }} reject",
        "  }",
        "}",
    ]
    return "\n".join(rules) + "\n"


def _resolver(address: Address) -> list[str]:
    if not (address.is_loopback or address.is_link_local):
        return []
    family = "ip" if address.version == 4 else "ip6"
    return [f"{family} daddr {address} {protocol} dport 53 accept" for protocol in ("udp", "tcp")]


def resolvers(path: Path = Path("/etc/resolv.conf")) -> list[Address]:
    """The name servers in a resolv.conf; none where it cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    found: list[Address] = []
    for words in map(str.split, lines):
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(ipaddress.ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return found


async def ensure_loopback_wall(*, first_uid: int, count: int, table: str = TABLE) -> None:
    """The loopback wall stands: processes of those user ids connect to nothing on the host's loopback but its resolver.

    Repeatable.

    Raises:
        NftFailed: the library is missing, or the kernel refused (no right, no support).
    """
    text = ruleset(first_uid=first_uid, count=count, resolvers=resolvers(), table=table)
    await nftables.apply(text)


async def remove_loopback_wall(*, table: str = TABLE) -> None:
    """The loopback wall is gone. Repeatable.

    Raises:
        NftFailed: the library is missing, or the kernel refused.
    """
    text = f"table inet {table}\ndelete table inet {table}\n"
    await nftables.apply(text)
