/* Telling who watches files of a share what others changed there. */
#pragma once

#include "base.h"

/* Tells of each event: an operation (m modified, c created, d deleted; C and D: of a directory) and
 * a path of the share with this tag. What is not there any more is left out. NO_SUCH: nobody
 * watches anything. */
bool events_tell(const char *tag, const char **events, uint32_t count, struct error *e);
