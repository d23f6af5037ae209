/* The standard output of a builtin: records, and contents between them. When nobody takes it any
 * more the process ends. */
#pragma once

#include <sys/stat.h>

#include "record.h"

void output_stat(const struct stat *s, const char *link);

/* False if the entry is larger than a record may be. */
bool output_entry(const struct entry *e);

/* The content of the entry just written: exactly size bytes, whatever the file holds by now. */
void output_content(int fd, uint64_t size);

void output_change(uint8_t kind, const char *path);
void output_error(const struct error *e);
void output_end(void);
