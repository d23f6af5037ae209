/* Trees of files from records on standard input. */
#pragma once

#include "record.h"

struct extract {
    int root;         /* where the tree goes, O_PATH */
    const char *path; /* the same for people */
    bool keep_kinds;  /* a directory and what is none never replace each other */
    bool chown;       /* everything belongs to uid and gid, whatever the records say */
    uint32_t uid, gid;
};

/* Reads records to END and makes what they say below the root, over what is there: a directory is
 * merged, everything else replaced. Links of the container lead the way, within its root. */
bool extract_tree(struct extract *x, struct error *e);
