/* Filling a new volume with what the image has at its place. Runs in the container's first process.
 */
#pragma once

#include "base.h"

/* Copies the content of directory from into the empty directory to: owner, mode, times and extended
 * attributes included, links not followed. False and errno if something fails. */
bool copy_tree(int from, int to);
