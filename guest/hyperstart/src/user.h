/* Users and groups as the container's own /etc/passwd and /etc/group know them. */
#pragma once

#include "base.h"

enum { MAX_ACCOUNTS_FILE = 1024 * 1024, MAX_GROUPS = 1024 };

struct user {
    uint32_t uid, gid;
    uint32_t groups[MAX_GROUPS];
    size_t group_count;
    char home[256];
};

/* Resolves spec ("", user or user:group, each a name or a number) and the further groups by the
 * texts of the two files. Pure. */
bool user_resolve(struct user *u, const char *spec, const char **groups, size_t group_count,
                  const char *passwd, const char *group, struct error *e);

/* The same with the files of the process's root. */
bool user_lookup(struct user *u, const char *spec, const char **groups, size_t group_count,
                 struct error *e);
