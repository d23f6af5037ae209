/* Trees of files as records on standard output. */
#pragma once

#include "output.h"

/* The names of files that have several, by inode. */
struct links {
    struct known_link *slots;
    size_t size, used;
};

/* The first name of the file, NULL if path is it. Beyond a limit no more names are kept. */
const char *links_first(struct links *l, const struct stat *s, const char *path);
void links_free(struct links *l);

/* A tree being written. path is where in it we are, relative; it is what the next entry is called.
 */
struct tree {
    char path[MAX_ENTRY_PATH + 1];
    size_t length;
    int depth;
    bool root; /* the tree is the container's whole root as its programs see it */
    struct links links;
};

/* Goes down to name; false and errno if that is too deep. tree_up undoes it. */
bool tree_down(struct tree *t, const char *name);
void tree_up(struct tree *t, const char *name);

/* Writes the file name of parent as the entry t->path, without what is in it. One that is gone, or
 * a socket, is left out. */
bool tree_entry(struct tree *t, int parent, const char *name, const struct stat *s,
                struct error *e);

/* Writes what is in a directory, which is closed. Of the kernel's own file systems only their
 * directories are written. */
bool tree_children(struct tree *t, int directory, const struct stat *s, struct error *e);

/* Whether an open file is of a file system that the kernel makes up. */
bool is_made_up(int fd);

typedef bool child_fn(void *context, int directory, const char *name, struct error *e);

/* Calls visit for each name in a directory, which is closed, until one fails. */
bool each_child(int directory, child_fn *visit, void *context, struct error *e);
