/* SPDX-License-Identifier: Apache-2.0
 *
 * The descriptor table. The numbers are the program's; those of the host never show. */
#include "libos/fs/fs.h"
#include "libos/process/process.h"

#include <linux/close_range.h>
#include <linux/resource.h>

#define FIRST_SIZE 64
#define TABLE_MAX (1u << 20)

struct descriptor { struct file *file; bool cloexec; };
static lock_t table_lock;
static struct descriptor *table;
static uint32_t size;

/* Under table_lock. */
static int grow(uint32_t wanted)
{
    uint32_t bigger = size ? size : FIRST_SIZE;

    while (bigger < wanted)
        bigger *= 2;
    struct descriptor *next = kzalloc(bigger * sizeof(*next));
    if (!next)
        return -ENOMEM;
    if (size)
        memcpy(next, table, size * sizeof(*next));
    kfree(table);
    table = next;
    size = bigger;
    return 0;
}

static uint32_t limit(void)
{
    uint64_t soft = process_rlimit(RLIMIT_NOFILE);
    return soft < TABLE_MAX ? (uint32_t)soft : TABLE_MAX;
}

void fd_table_init(void)
{
    table = NULL;
    size = 0;
}

void fd_close_on_exec(void)
{
    for (uint32_t fd = 0; fd < fd_table_size(); fd++) {
        struct file *file = fd_cloexec(fd, -1) == 1 ? fd_take(fd) : NULL;
        if (file)
            file_put(file);
    }
}

uint32_t fd_table_size(void)
{
    return __atomic_load_n(&size, __ATOMIC_RELAXED);
}

struct file *file_from_fd(int fd)
{
    struct file *file = NULL;

    lock(&table_lock);
    if (fd >= 0 && (uint32_t)fd < size && table[fd].file)
        file = file_get(table[fd].file);
    unlock(&table_lock);
    return file;
}

/* Under table_lock: room for fd, or -errno. */
static long make_room(uint32_t fd)
{
    return fd < size ? 0 : grow(fd + 1);
}

long fd_install(struct file *file, uint32_t min, bool cloexec)
{
    uint32_t end = limit(), fd = min;
    long status;

    lock(&table_lock);
    while (fd < size && table[fd].file)
        fd++;
    status = fd < end ? make_room(fd) : -EMFILE;
    if (!status)
        table[fd] = (struct descriptor){file, cloexec};
    unlock(&table_lock);
    if (!status)
        return fd;
    file_put(file);
    return status;
}

long fd_install_at(struct file *file, uint32_t fd, bool cloexec)
{
    struct file *old = NULL;
    long status;

    lock(&table_lock);
    status = fd < TABLE_MAX ? make_room(fd) : -EBADF;
    if (!status) {
        old = table[fd].file;
        table[fd] = (struct descriptor){file, cloexec};
    }
    unlock(&table_lock);
    if (status)
        file_put(file);
    if (old)
        file_put(old);
    return status ? status : (long)fd;
}

struct file *fd_take(uint32_t fd)
{
    struct file *file = NULL;

    lock(&table_lock);
    if (fd < size) {
        file = table[fd].file;
        table[fd] = (struct descriptor){0};
    }
    unlock(&table_lock);
    return file;
}

long fd_cloexec(uint32_t fd, int set)
{
    long result = -EBADF;

    lock(&table_lock);
    if (fd < size && table[fd].file) {
        result = table[fd].cloexec;
        if (set >= 0) {
            table[fd].cloexec = set;
            result = 0;
        }
    }
    unlock(&table_lock);
    return result;
}

long sys_close(SYSCALL_ARGS)
{
    struct file *file = fd_take((uint32_t)a0);

    if (!file)
        return -EBADF;
    file_put(file);
    return 0;
}

long sys_close_range(SYSCALL_ARGS)
{
    uint32_t first = (uint32_t)a0, last = (uint32_t)a1, flags = (uint32_t)a2;

    /* UNSHARE: there is one table, and nobody it could be shared with. */
    if (first > last || flags & ~(uint32_t)(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE))
        return -EINVAL;
    for (uint32_t fd = first; fd <= last && fd < fd_table_size(); fd++) {
        if (flags & CLOSE_RANGE_CLOEXEC) {
            fd_cloexec(fd, 1);
            continue;
        }
        struct file *file = fd_take(fd);
        if (file)
            file_put(file);
    }
    return 0;
}

static long duplicate_to(int from, uint32_t to, bool cloexec)
{
    if (to >= limit())
        return -EBADF;
    struct file *file = file_from_fd(from);
    return file ? fd_install_at(file, to, cloexec) : -EBADF;
}

long sys_dup(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    return file ? fd_install(file, 0, false) : -EBADF;
}

long sys_dup2(SYSCALL_ARGS)
{
    if ((int)a0 == (int)a1) {
        long known = fd_cloexec((uint32_t)a0, -1);
        return known < 0 ? known : (int)a0;
    }
    return duplicate_to((int)a0, (uint32_t)a1, false);
}

long sys_dup3(SYSCALL_ARGS)
{
    if (a2 & ~(long)O_CLOEXEC || (int)a0 == (int)a1)
        return -EINVAL;
    return duplicate_to((int)a0, (uint32_t)a1, a2 & O_CLOEXEC);
}
