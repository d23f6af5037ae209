/* Where a mount comes from: the one place that reads the string which says so on the wire. Pure. */
#pragma once

#include "base.h"

/* Flags of a mount beside mount(2)'s: its source is a volume's directory; that is not filled. */
#define MOUNT_VOLUME UINT32_C(0x80000000)
#define MOUNT_NO_COPY UINT32_C(0x40000000)
/* The directory in the volume is made if missing. */
#define MOUNT_MAKE_SUB UINT32_C(0x20000000)

enum source_kind {
    SOURCE_KERNEL,  /* name is the kernel's affair */
    SOURCE_ROOT,    /* path in the container's own root */
    SOURCE_DISK,    /* path in the file system of disk name */
    SOURCE_SHARE,   /* path in the share (or named tmpfs) of tag name */
    SOURCE_NETWORK, /* device name of a file server */
};

/* Strings that do not apply are "". sub: what of the volume at path is wanted; "" for all of it. */
struct mount_source {
    enum source_kind kind;
    const char *name, *path, *sub;
};

/* Takes text apart, in place, by the rules of docs/protocol.md, "Mounts". False if it is malformed.
 */
bool source_decode(struct mount_source *s, char *text, uint32_t flags);
