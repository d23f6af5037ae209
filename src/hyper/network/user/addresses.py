"""Addresses of user-mode networks: every machine sees the same small network of its own.

Nothing of it exists on the host. What its addresses are for, hypervisors that are `UserNetworking` keep to.
"""

from __future__ import annotations

import ipaddress
from typing import Final

NETWORK: Final = ipaddress.IPv4Network("10.0.2.0/24")
GATEWAY: Final = NETWORK[2]
DNS: Final = NETWORK[3]
GUEST: Final = NETWORK[15]
MTU: Final = 1500
