/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside epoll: sets, and what they watch. */
#ifndef VIGIL_EPOLL_H
#define VIGIL_EPOLL_H

#include "libos/fs/fs.h"

struct event { uint32_t events; uint64_t data; } __attribute__((packed));

/* Holds no reference: a file that goes away leaves its sets (epoll_forget). */
struct interest {
    struct interest *next;      /* in its bucket */
    struct interest *next_inside, **at_inside;
    struct interest *next_of_file, **at_of_file;
    struct epoll *set;
    struct file *file;
    int fd;
    bool disabled;              /* one shot, and fired */
    uint32_t round;             /* of waiting in which it was last reported */
    uint64_t id;                /* the host's name for it: fd below, which change of the set above */
    struct event event;
    struct waiter waiter;       /* in the object's queue, if it is inside */
};

struct epoll {
    struct epoll *next;         /* all sets, under sets_lock */
    lock_t lock;
    struct interest **buckets;  /* by fd */
    uint32_t size, count, on_host; /* size: a power of two, or 0 */
    uint32_t ids, rounds;
    const struct file *file;    /* that it is behind */
    bool host_first;            /* objects inside took all the room last time */
    struct interest *inside;    /* who was reported goes to the end */
    struct wait_queue changed;
};

extern const struct file_ops epoll_ops;

/* ---- epoll_nested.c: may the one be in the other, or is it too deep, or a circle? Nobody else changes what is in which. */
bool epoll_may_nest(struct epoll *inner, struct epoll *outer);

#endif
