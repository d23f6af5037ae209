/* Records of the builtins' streams (docs/protocol.md, "Builtins"). Pure. */
#pragma once

#include "base.h"

enum record_kind {
    RECORD_STAT = 1,
    RECORD_ENTRY = 2,
    RECORD_CHANGE = 3,
    RECORD_END = 4,
    RECORD_ERROR = 5,
};

enum { CHANGE_MODIFIED = 0, CHANGE_ADDED = 1, CHANGE_DELETED = 2, CHANGE_OPAQUE = 3 };

/* The kinds of files, as tar numbers them. */
enum {
    ENTRY_FILE = '0',
    ENTRY_HARD_LINK = '1',
    ENTRY_LINK = '2',
    ENTRY_CHARACTER = '3',
    ENTRY_BLOCK = '4',
    ENTRY_DIRECTORY = '5',
    ENTRY_FIFO = '6',
};

struct xattr {
    const char *name;
    const uint8_t *value;
    size_t size;
};

/* A file of a tree. The content of an ENTRY_FILE, size bytes, follows its record. */
struct entry {
    const char *path; /* relative, "" for the tree itself */
    uint8_t type;
    uint32_t mode, uid, gid; /* of the mode the permissions */
    uint64_t mtime, size;    /* seconds, two's complement; bytes */
    uint32_t major, minor;
    const char *link; /* of a link what it says, of a hard link the path of the other name */
    uint32_t xattr_count;
    struct xattr xattrs[MAX_XATTRS];
};

/* Reads the body of an ENTRY in place. False if it is malformed, or has a path that is absolute,
 * leads upwards or has an empty part. */
bool entry_decode(struct entry *e, uint8_t *body, size_t size);

/* Writes the body of an ENTRY; how long it is, 0 if it does not fit. */
size_t entry_encode(const struct entry *e, uint8_t *to, size_t room);

/* Reads a record's header; false if no record has such a one. */
bool record_header(const uint8_t header[RECORD_HEADER], enum record_kind *kind, size_t *size);
