/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects inside (pipes, event counters, files in memory) on their way through a pair of sockets of this process. What the
 * host carries is an empty file of its own; who receives that file gets the object. Only pairs made by socketpair: what is
 * inside cannot go to another process. A host can deliver late, twice or not at all, but nothing that is not on its way. */
#include "libos/net/net.h"

#define FLIGHT_MAX 4096     /* as many as a process may have open, more or less */

struct flight {
    struct flight *next;
    uint64_t to;                /* the end that it was sent to */
    uint64_t device, inode;     /* of the host's file: a name, no more */
    struct file *file;
};

static lock_t flight_lock;
static struct flight *flights;
static uint32_t flight_count;

static long host_token(uint64_t *device, uint64_t *inode)
{
    static const char name[] = "object";
    size_t mark = bounce_mark();
    const void *untrusted_name = host_put(name, sizeof(name));
    struct stat stat;
    long fd = untrusted_name ? host_call(__NR_memfd_create, NET_INT_LIMIT, (long)untrusted_name, 1 /* MFD_CLOEXEC */, 0, 0, 0) : -ENOMEM;

    bounce_release(mark);
    long status = fd < 0 ? fd : stat_host((int)fd, NULL, 0, &stat);
    if (status < 0) {
        if (fd >= 0)
            host_close((int)fd);
        return status;
    }
    *device = stat.st_dev;
    *inode = stat.st_ino;
    return fd;
}

long flight_begin(struct file *file, uint64_t to)
{
    struct flight *f = kzalloc(sizeof(*f));

    if (!f)
        return -ENOMEM;
    long fd = host_token(&f->device, &f->inode);
    if (fd < 0) {
        kfree(f);
        return fd;
    }
    f->to = to;
    lock(&flight_lock);
    bool room = flight_count < FLIGHT_MAX;
    if (room) {
        f->file = file_get(file);
        f->next = flights;
        flights = f;
        flight_count++;
    }
    unlock(&flight_lock);
    if (room)
        return fd;
    kfree(f);
    host_close((int)fd);
    return -ETOOMANYREFS;
}

static void take_out(struct flight **at)
{
    struct flight *f = *at;

    *at = f->next;
    flight_count--;
    kfree(f);
}

struct file *flight_end(const struct stat *stat, bool stays)
{
    struct file *file = NULL;

    lock(&flight_lock);
    for (struct flight **at = &flights; *at && !file; at = &(*at)->next) {
        if ((*at)->device != stat->st_dev || (*at)->inode != stat->st_ino)
            continue;
        file = stays ? file_get((*at)->file) : (*at)->file;
        if (!stays)
            take_out(at);
        break;
    }
    unlock(&flight_lock);
    return file;
}

void flight_cancel(int token)
{
    struct stat stat;
    struct file *file = stat_host(token, NULL, 0, &stat) ? NULL : flight_end(&stat, false);

    if (file)
        file_put(file);
}

void flights_forget(uint64_t to)
{
    struct file *file;

    do {
        file = NULL;
        lock(&flight_lock);
        for (struct flight **at = &flights; *at; at = &(*at)->next) {
            if ((*at)->to != to)
                continue;
            file = (*at)->file;
            take_out(at);
            break;
        }
        unlock(&flight_lock);
        if (file)
            file_put(file); /* may close a socket, which comes here again */
    } while (file);
}
