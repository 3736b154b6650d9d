/* SPDX-License-Identifier: Apache-2.0
 *
 * Epoll sets in epoll sets: no circles, and no more levels than Linux has, which is also what bounds the recursions. */
#include "libos/fs/epoll.h"

#define NESTED_MAX 4

/* Levels of sets below this one; more than there may be if `wanted` is among them. */
static unsigned levels_below(struct epoll *e, const struct epoll *wanted, unsigned depth)
{
    unsigned most = 0;

    if (e == wanted || depth > NESTED_MAX)
        return NESTED_MAX + 1;
    lock(&e->lock);
    for (const struct interest *i = e->inside; i; i = i->next_inside) {
        unsigned levels = i->file->ops == &epoll_ops ? 1 + levels_below(i->file->object, wanted, depth + 1) : 0;
        most = levels > most ? levels : most;
    }
    unlock(&e->lock);
    return most;
}

static unsigned levels_above(const struct epoll *e, unsigned depth)
{
    unsigned most = 0;

    if (depth > NESTED_MAX)
        return depth;
    for (const struct interest *i = e->file->interests; i; i = i->next_of_file) {
        unsigned levels = 1 + levels_above(i->set, depth + 1);
        most = levels > most ? levels : most;
    }
    return most;
}

bool epoll_may_nest(struct epoll *inner, struct epoll *outer)
{
    return levels_above(outer, 0) + levels_below(inner, outer, 0) <= NESTED_MAX;
}
