#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

struct comparison {
    struct tree tree;
    bool layer;
    const char **made;
};

/* One directory: below is what the layers have there, -1 for nothing. */
struct pair {
    struct comparison *all;
    struct pair *outer;
    const char *name;
    int parent, below;
    struct stat stat;
    bool told;   /* this directory has been written as a change */
    bool opaque; /* nothing of below shows */
};

static bool was_made(const struct comparison *c)
{
    for (const char **made = c->made; *made; made++)
        if (**made == '/' && strcmp(*made + 1, c->tree.path) == 0)
            return true;
    return false;
}

static bool tell_change(struct comparison *c, uint8_t kind)
{
    char path[MAX_ENTRY_PATH + 2];
    if (join(path, sizeof path, "/", c->tree.path, NULL))
        output_change(kind, path);
    return true;
}

/* A directory is a change once something in it has come or gone. The root never is. */
static bool tell_directory(struct pair *p, uint8_t kind, struct error *e)
{
    struct tree *t = &p->all->tree;
    if (p->told || !p->outer)
        return true;
    p->told = true;
    if (!p->all->layer)
        return tell_change(p->all, kind);
    /* A layer's entries come after the directories they are in. */
    if (!p->outer->told && p->outer->outer) {
        tree_up(t, p->name);
        bool ok = tell_directory(p->outer, CHANGE_MODIFIED, e);
        tree_down(t, p->name);
        if (!ok)
            return false;
    }
    return tree_entry(t, p->parent, p->name, &p->stat, e) &&
           (!p->opaque || tell_change(p->all, CHANGE_OPAQUE));
}

static bool tell_parent(struct pair *p, const char *name, struct error *e)
{
    struct tree *t = &p->all->tree;
    tree_up(t, name);
    bool ok = tell_directory(p, CHANGE_MODIFIED, e);
    tree_down(t, name);
    return ok;
}

static bool is_opaque(int fd)
{
    char value;
    return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && (a->tv_nsec == b->tv_nsec || !a->tv_nsec || !b->tv_nsec);
}

static bool same_directory(const struct stat *a, const struct stat *b)
{
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           same_time(&a->st_mtim, &b->st_mtim);
}

static bool compare_directory(struct pair *p, int above, struct error *e);

/* A directory of the upper; lower says what the layers have of this name. One that was made by us
 * is taken for one of theirs. After a failure descriptors stay open: the process ends. */
static bool compare_child(struct pair *outer, int parent, const char *name, const struct stat *s,
                          const struct stat *lower, struct error *e)
{
    struct pair p = {
        .all = outer->all, .outer = outer, .name = name, .parent = parent, .below = -1, .stat = *s};
    int above = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (above < 0)
        return errno == ENOENT || fail(e, CODE_SYSTEM, errno, "open ", name, NULL);
    p.opaque = is_opaque(above);
    if (lower && S_ISDIR(lower->st_mode))
        p.below = openat(outer->below, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ok = true;
    if (!lower)
        ok = was_made(outer->all) ||
             (tell_parent(outer, name, e) && tell_directory(&p, CHANGE_ADDED, e));
    else if (!S_ISDIR(lower->st_mode) || p.opaque || !same_directory(s, lower))
        ok = tell_directory(&p, CHANGE_MODIFIED, e);
    return ok && compare_directory(&p, above, e);
}

static bool is_whiteout(const struct stat *s)
{
    return S_ISCHR(s->st_mode) && s->st_rdev == makedev(0, 0);
}

static bool compare_file(struct pair *p, int parent, const char *name, const struct stat *s,
                         bool known, struct error *e)
{
    bool gone = is_whiteout(s);
    if (gone && !known)
        return true;
    if ((gone || !known || p->all->layer) && !tell_parent(p, name, e))
        return false;
    if (gone || !p->all->layer)
        return tell_change(p->all, gone ? CHANGE_DELETED : known ? CHANGE_MODIFIED : CHANGE_ADDED);
    return tree_entry(&p->all->tree, parent, name, s, e);
}

static bool visit_above(void *context, int directory, const char *name, struct error *e)
{
    struct pair *p = context;
    struct stat s, lower;
    if (fstatat(directory, name, &s, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT || fail(e, CODE_SYSTEM, errno, "stat ", name, NULL);
    if (!tree_down(&p->all->tree, name))
        return fail(e, CODE_LIMIT, errno, p->all->tree.path, "/", name, NULL);
    bool known = p->below >= 0 && !fstatat(p->below, name, &lower, AT_SYMLINK_NOFOLLOW);
    bool ok = true;
    if (S_ISDIR(s.st_mode))
        ok = compare_child(p, directory, name, &s, known ? &lower : NULL, e);
    else if (known || !was_made(p->all))
        ok = compare_file(p, directory, name, &s, known, e);
    tree_up(&p->all->tree, name);
    return ok;
}

/* What an opaque directory hides is gone, unless it is there anew. */
static bool visit_below(void *context, int directory, const char *name, struct error *e)
{
    struct pair *p = context;
    struct stat s;
    (void)directory;
    int above = openat(p->parent, p->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool there = above >= 0 && !fstatat(above, name, &s, AT_SYMLINK_NOFOLLOW);
    close_fd(&above);
    if (there)
        return true;
    if (!tree_down(&p->all->tree, name))
        return fail(e, CODE_LIMIT, errno, p->all->tree.path, "/", name, NULL);
    tell_change(p->all, CHANGE_DELETED);
    tree_up(&p->all->tree, name);
    return true;
}

/* Closes above and what is below. */
static bool compare_directory(struct pair *p, int above, struct error *e)
{
    bool ok = each_child(above, visit_above, p, e);
    if (ok && p->opaque && p->below >= 0 && !p->all->layer)
        return each_child(p->below, visit_below, p, e);
    close_fd(&p->below);
    return ok;
}

bool changes_write(int upper, int lower, bool layer, const char **made, struct error *e)
{
    static struct comparison all;
    all.layer = layer;
    all.made = made;
    struct pair root = {.all = &all, .parent = -1, .below = lower};
    return compare_directory(&root, upper, e);
}
