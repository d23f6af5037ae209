#include "source.h"

#include <string.h>
#include <sys/mount.h>

/* What is behind prefix in text; NULL if text begins otherwise. */
static char *behind(char *text, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

/* Ends text at its first colon; returns what is behind that, NULL if there is none. */
static char *part(char *text)
{
    char *colon = strchr(text, ':');
    if (!colon)
        return NULL;
    *colon = 0;
    return colon + 1;
}

/* NAME, NAME:PATH, of a volume also NAME:PATH:SUB: paths of others may have colons. */
static bool file_system(struct mount_source *s, char *name, uint32_t flags)
{
    char *path = part(name);
    char *sub = path && flags & MOUNT_VOLUME ? part(path) : NULL;
    s->name = name;
    s->path = path && *path ? path : "/";
    s->sub = sub ? sub : "";
    return *name;
}

bool source_decode(struct mount_source *s, char *text, uint32_t flags)
{
    char *rest;
    *s = (struct mount_source){SOURCE_KERNEL, "", "", ""};
    if ((rest = behind(text, "disk:"))) {
        s->kind = SOURCE_DISK;
        return file_system(s, rest, flags);
    }
    if ((rest = behind(text, "tag:"))) {
        s->kind = SOURCE_SHARE;
        return file_system(s, rest, flags);
    }
    if ((rest = behind(text, "net:"))) {
        char *device = part(rest);
        *s = (struct mount_source){SOURCE_NETWORK, device ? device : "", "/", rest};
        return *s->name;
    }
    if (flags & MS_BIND)
        *s = (struct mount_source){SOURCE_ROOT, "", text, ""};
    else
        s->name = text;
    return true;
}
