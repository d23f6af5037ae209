/* What a container changed: its upper directory beside the layers below. */
#pragma once

#include "tree.h"

/* Writes every change under upper as a CHANGE record, or, as a layer, as an entry where there is
 * something now, and as a CHANGE where something is hidden. lower is the union of the layers. What
 * made names (absolute paths) was made by us. Both directories are closed. */
bool changes_write(int upper, int lower, bool layer, const char **made, struct error *e);
