/* Volumes: a directory of a shared file system, filled at first with what the image has at its
 * place. Runs in the container's first process. */
#pragma once

#include "base.h"

/* Opens the volume's directory path below shared; it is made if missing. With copy, an empty one is
 * filled with what is at target below root: owner, mode, times and extended attributes included,
 * links not followed. With PATH:SUB for a path, SUB of it is opened and filled (with make, made as
 * a directory if missing); no link leads out of the volume. -1 and errno if something fails. */
int volume_open(int shared, const char *path, int root, const char *target, bool copy, bool make);
