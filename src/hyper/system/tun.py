"""TAP devices: Ethernet cards whose cable ends in a file descriptor.

A TAP lives as long as a descriptor of it is open somewhere: in a hypervisor it outlives us, and goes when that ends.

Source: tun(4) is not written; Documentation/networking/tuntap.rst, linux/if_tun.h.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct

from hyper.errors import Conflict, HyperError

_DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETPERSIST, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454CB, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_FLAGS = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
#: sizeof(struct virtio_net_hdr_mrg_rxbuf): the header of modern virtio cards.
_HEADER_SIZE = 12


def open_tap(name: str) -> int:
    """A descriptor of a new TAP ``name`` (≤ 15 characters), which is down. The caller closes it.

    Raises:
        Conflict: there is one already, in use.
        HyperError: no TAPs can be made here (no right, no kernel support).
    """
    try:
        fd = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HyperError(f"cannot open {_DEVICE}: {error.strerror}") from error
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _FLAGS))
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", _HEADER_SIZE))
    except OSError as error:
        os.close(fd)
        kind = Conflict if error.errno == errno.EBUSY else HyperError
        raise kind(f"cannot make the TAP {name}: {error.strerror}") from error
    return fd


def end_tap(name: str) -> None:
    """The TAP ``name`` is gone if no process holds it, also where its last holder had made it persistent."""
    with contextlib.suppress(HyperError):
        fd = open_tap(name)
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, _TUNSETPERSIST, 0)
        os.close(fd)
