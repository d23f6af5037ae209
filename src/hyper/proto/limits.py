"""Limits of the agent protocol, under the names the C side uses (guest/hyperstart/src/limits.h)."""

from typing import Final

VERSION: Final = 1
MAGIC: Final = 0x52505948
"""``HYPR`` as a little-endian u32."""

HEADER_SIZE: Final = 12
END: Final = 0xCE
"""The last byte of every whole frame."""
MAX_BODY: Final = 65536
RESYNC: Final = HEADER_SIZE + MAX_BODY + 1
"""So many zero bytes end whatever frame the guest was in the middle of."""
DATA_HEADER: Final = 8
"""Bytes of a DATA body before the payload: the offset."""
MAX_DATA: Final = MAX_BODY - DATA_HEADER
"""The longest payload of one DATA frame."""
WINDOW: Final = 262144
"""Bytes of one stream that may be sent and not acknowledged; FIN is not counted."""
CARRIED_HEADER: Final = 20
"""The body of a CARRIED frame: offset, place, length."""
CARRIER_WINDOW: Final = 1048576
"""The same while there is a carrier; whoever receives takes so much at any time."""
CARRIER_BLOCK: Final = 262144
CARRIER_BLOCKS: Final = 8
"""Blocks of the carrier in each direction."""
CARRIER_SIZE: Final = 2 * CARRIER_BLOCKS * CARRIER_BLOCK
"""The first half is the host's to write, the second one the guest's."""

MAX_REQUEST: Final = 4 * 1024 * 1024
MAX_STR: Final = 131072
MAX_ITEMS: Final = 8192
MAX_ARGS: Final = 262144
"""Arguments of a program, or variables: more than these do not fit into what Linux allows for both, 2 MiB."""
MAX_TEXT: Final = 512
MAX_PROCESSES: Final = 1024
MAX_PROCESS_ID: Final = (1 << 30) - 1
"""A stream id is four times a process id and must fit in 32 bits."""
MAX_CONTAINERS: Final = 64
MAX_LAYERS: Final = 64
MAX_DEVICES: Final = 128
SECCOMP_INSTRUCTION: Final = 8
"""Bytes of one instruction of a seccomp filter: a struct sock_filter."""
MAX_SECCOMP: Final = 4096 * SECCOMP_INSTRUCTION
"""BPF_MAXINSNS instructions."""

RECORD_HEADER: Final = 5
"""Records of builtins: kind and length of the body."""
MAX_RECORD: Final = 131072
MAX_ENTRY_PATH: Final = 4095
MAX_ENTRY_NAME: Final = 255
MAX_LINK: Final = 4095
MAX_XATTRS: Final = 64
MAX_XATTR_BYTES: Final = 65536
"""Names and values of one file's extended attributes, together."""
MAX_TREE_DEPTH: Final = 1024

NONCE_SIZE: Final = 16
ENTROPY_SIZE: Final = 32
MAC_SIZE: Final = 6
ADDRESS_SIZE: Final = 16
