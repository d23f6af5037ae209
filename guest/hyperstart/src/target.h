/* Paths inside a container's root, resolved so that no link of the image leads out of it. */
#pragma once

#include "base.h"

enum target_kind { ANY, DIRECTORY, FILE_ };

/* Opens path below root with O_PATH; -1 and errno if it is not there. */
int target_open(int root, const char *path);

/* Opens path below root with O_PATH and makes it first (directories 0755, a file 0644) if it is
 * missing. Returns -1 and errno if that fails or it is of another kind. */
int target_make(int root, const char *path, enum target_kind kind);

/* Opens directory path below root, made first where it is missing, with the mode of root itself. */
int target_make_like(int root, const char *path);

/* mount(2) on an open target. */
bool mount_on(int target, const char *source, const char *type, unsigned long flags,
              const char *data);
