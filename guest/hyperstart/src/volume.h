/* Volumes: a directory of a shared file system, filled at first with what the image has at its
 * place. Runs in the container's first process. */
#pragma once

#include "request.h"

/* Opens the volume that m mounts: the directory at its source's path below shared, made if missing.
 * Unless MOUNT_NO_COPY, an empty one is filled with what is at the target below root: owner, mode,
 * times and extended attributes included, links not followed. Of a source with a sub that is opened
 * and filled (with MOUNT_MAKE_SUB made as a directory if missing); no link leads out of the volume.
 * -1 and errno if something fails. */
int volume_open(int shared, int root, const struct container_mount *m);
