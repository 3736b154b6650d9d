/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/self/mounts and mountinfo. What the host gives is called that, not what it is on the host. */
#include "libos/fs/pseudo/pseudo.h"

static const char *type_of(const struct mount *m)
{
    return m->fs ? m->fs->type : "9p";
}

static const char *source_of(const struct mount *m)
{
    return m->fs ? m->fs->type : "host";
}

/* Spaces and the like as octal escapes. */
static void text_escaped(struct text *text, const char *name)
{
    for (; *name; name++) {
        uint8_t c = (uint8_t)*name;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\\')
            text_add(text, "\\%u%u%u", c >> 6, c >> 3 & 7, c & 7);
        else
            text_bytes(text, name, 1);
    }
}

long show_mounts(const struct pseudo_at *at, struct text *text)
{
    const struct mount *m;

    (void)at;
    for (uint32_t i = 0; (m = mount_number(i)); i++) {
        if (m->hidden)
            continue;
        text_add(text, "%s ", source_of(m));
        text_escaped(text, m->inside);
        text_add(text, " %s rw,relatime 0 0\n", type_of(m));
    }
    return 0;
}

/* Which mount the mount point lies in: the longest other one that covers it. */
static uint32_t parent_of(const struct mount *m)
{
    const struct mount *other, *best = NULL;
    uint32_t number = 0;

    for (uint32_t i = 0; (other = mount_number(i)); i++) {
        size_t n = other->inside_length;
        bool covers = n == 1 || (!strncmp(m->inside, other->inside, n) && m->inside[n] == '/');
        if (other != m && covers && (!best || n > best->inside_length)) {
            best = other;
            number = i;
        }
    }
    return number;
}

long show_mountinfo(const struct pseudo_at *at, struct text *text)
{
    const struct mount *m;

    (void)at;
    for (uint32_t i = 0; (m = mount_number(i)); i++) {
        if (m->hidden)
            continue;
        text_add(text, "%u %u 0:%u / ", i + 1, i ? parent_of(m) + 1 : 0, i + 20);
        text_escaped(text, m->inside);
        text_add(text, " rw,relatime - %s %s rw\n", type_of(m), source_of(m));
    }
    return 0;
}
