/* Limits of the agent protocol, under the names the Python side uses (src/hyper/proto/limits.py).
 */
#pragma once

enum {
    VERSION = 1,
    MAGIC = 0x52505948, /* "HYPR" */

    HEADER_SIZE = 12,
    END_BYTE = 0xCE,
    MAX_BODY = 65536,
    RESYNC = HEADER_SIZE + MAX_BODY + 1,
    DATA_HEADER = 8,
    WINDOW = 262144,
    CARRIED_HEADER = 20,
    CARRIER_WINDOW = 1048576,
    CARRIER_BLOCK = 262144,
    CARRIER_BLOCKS = 8, /* in each direction */
    CARRIER_SIZE = 2 * CARRIER_BLOCKS * CARRIER_BLOCK,

    MAX_REQUEST = 4 * 1024 * 1024,
    MAX_STR = 131072,
    MAX_ITEMS = 8192,
    MAX_ARGS = 262144,
    MAX_TEXT = 512,
    MAX_PROCESSES = 1024,
    MAX_PROCESS_ID = (1 << 30) - 1,
    MAX_CONTAINERS = 64,
    MAX_LAYERS = 64,
    MAX_DEVICES = 128,
    SECCOMP_INSTRUCTION = 8,
    MAX_SECCOMP = 4096 * SECCOMP_INSTRUCTION,

    RECORD_HEADER = 5, /* records of builtins: kind and length of the body */
    MAX_RECORD = 131072,
    MAX_ENTRY_PATH = 4095,
    MAX_ENTRY_NAME = 255,
    MAX_LINK = 4095,
    MAX_XATTRS = 64,
    MAX_XATTR_BYTES = 65536,
    MAX_TREE_DEPTH = 1024,

    NONCE_SIZE = 16,
    ENTROPY_SIZE = 32,
    MAC_SIZE = 6,
    ADDRESS_SIZE = 16,
};
