/* SPDX-License-Identifier: Apache-2.0
 *
 * System V's shared memory, between the threads of this process: a segment is a file of tmpfs without a name, attached as a
 * shared mapping of it (backing.h says what two mappings of one segment see of each other, and when). Other processes have
 * no part in it. What is attached is counted where mappings are kept, so munmap, mremap and execve count as well. */
#include "libos/fs/tmpfs/tmpfs.h"
#include "libos/mm/backing.h"
#include "libos/process/process.h"

#include <limits.h>
#include <linux/shm.h>
#include <linux/time.h>

#define SEGMENTS 4096u      /* Linux's SHMMNI */
#define SEQUENCE 32768u     /* identifiers are index + sequence * this, as Linux has them: an old one is not a new segment's */
#define SEQUENCES 65535u
#define VERSION_64 0x0100   /* IPC_64: what other ABIs add to the command */
#define MODE_DESTROYED 01000u
#define MODE_LOCKED 02000u

struct segment {
    struct tmpfs_node *node;
    int32_t key;
    uint32_t index, sequence, flags /* MODE_ */, creator, last;
    uint64_t size;
    int64_t attached, detached, changed;    /* s */
    struct segment *next;
};

static lock_t shm_lock; /* before the backing's */
static struct segment *segments;
static uint32_t sequences;

static int64_t seconds(void)
{
    return time_now(CLOCK_REALTIME) / 1000000000;
}

static int32_t identifier(const struct segment *segment)
{
    return (int32_t)(segment->index + segment->sequence * SEQUENCE);
}

static struct segment *by_id(int id)
{
    struct segment *segment = segments;

    while (segment && identifier(segment) != id)
        segment = segment->next;
    return segment;
}

static struct segment *by_node(const struct tmpfs_node *node)
{
    struct segment *segment = segments;

    while (segment && segment->node != node)
        segment = segment->next;
    return segment;
}

/* Segments that are marked for it go with their last mapping. Takes the lock. */
static void sweep(void)
{
    struct segment *gone = NULL;

    lock(&shm_lock);
    for (struct segment **link = &segments; *link;) {
        struct segment *segment = *link;
        if (!(segment->flags & MODE_DESTROYED) || backing_count(segment->node)) {
            link = &segment->next;
            continue;
        }
        *link = segment->next;
        segment->next = gone;
        gone = segment;
    }
    unlock(&shm_lock);
    while (gone) {
        struct segment *segment = gone;
        gone = segment->next;
        tmpfs_node_put(segment->node);
        kfree(segment);
    }
}

/* ---- shmget -------------------------------------------------------------------------------------------------------- */
static struct segment *new_segment(int32_t key, uint64_t size, int flags, int *error)
{
    struct segment *segment = kzalloc(sizeof(*segment));

    *error = -ENOMEM;
    if (!segment)
        return NULL;
    segment->node = tmpfs_node_new(S_IFREG | ((uint32_t)flags & 0777), MEMFD_DEVICE);
    if (segment->node && !store_truncate(&segment->node->data, size)) {
        segment->node->segment = true;
        segment->key = key;
        segment->size = size;
        segment->creator = process_pid();
        segment->changed = seconds();
        return segment;
    }
    tmpfs_node_put(segment->node);
    kfree(segment);
    return NULL;
}

/* The lowest index that is free; there are fewer than SEGMENTS. The list is in their order. */
static void insert(struct segment *segment)
{
    struct segment **link = &segments;

    while (*link && (*link)->index == segment->index) {
        segment->index++;
        link = &(*link)->next;
    }
    segment->sequence = sequences++ % SEQUENCES;
    segment->next = *link;
    *link = segment;
}

static struct segment *by_key(int32_t key, uint32_t *count)
{
    struct segment *found = NULL;

    *count = 0;
    for (struct segment *segment = segments; segment; segment = segment->next, ++*count)
        if (key != IPC_PRIVATE && segment->key == key)
            found = segment;
    return found;
}

static long existing(const struct segment *segment, uint64_t size, int flags)
{
    if (flags & IPC_CREAT && flags & IPC_EXCL)
        return -EEXIST;
    if (size > segment->size)
        return -EINVAL;
    long status = tmpfs_may(segment->node, (uint32_t)(flags >> 6 | flags >> 3 | flags) & 6);
    return status ? status : identifier(segment);
}

long sys_shmget(SYSCALL_ARGS)
{
    int32_t key = (int32_t)a0;
    uint64_t size = (uint64_t)a1;
    int flags = (int)a2, error = 0;
    uint32_t count;
    long result;

    sweep();
    lock(&shm_lock);
    struct segment *segment = by_key(key, &count);
    if (segment)
        result = existing(segment, size, flags);
    else if (key != IPC_PRIVATE && !(flags & IPC_CREAT))
        result = -ENOENT;
    else if (!size || size > SHMMAX)
        result = -EINVAL;
    else if (flags & SHM_HUGETLB)
        result = -ENOMEM; /* as on a system without reserved huge pages */
    else if (count >= SEGMENTS)
        result = -ENOSPC;
    else {
        segment = new_segment(key, size, flags, &error);
        if (segment)
            insert(segment);
        result = segment ? identifier(segment) : error;
    }
    unlock(&shm_lock);
    return result;
}

/* ---- shmat, shmdt -------------------------------------------------------------------------------------------------- */
/* Only what is to be written is opened for writing: mprotect cannot make more of it later. */
static struct file *open_segment(int id, int flags, int *error)
{
    char name[] = "/SYSV00000000";
    struct file *file = NULL;

    lock(&shm_lock);
    struct segment *segment = by_id(id);
    *error = -EINVAL;
    if (segment) {
        for (unsigned i = 0; i < 8; i++)
            name[5 + i] = "0123456789abcdef"[(uint32_t)segment->key >> (28 - 4 * i) & 15];
        *error = flags & SHM_EXEC ? (int)tmpfs_may(segment->node, 1) : 0;
        if (!*error)
            file = tmpfs_file_new(segment->node, flags & SHM_RDONLY ? O_RDONLY : O_RDWR, name, error);
    }
    unlock(&shm_lock);
    return file;
}

/* One mapping more, or one less. */
static void note(const struct tmpfs_node *node, bool attached)
{
    int64_t now = seconds();

    lock(&shm_lock);
    struct segment *segment = by_node(node);
    if (segment) {
        *(attached ? &segment->attached : &segment->detached) = now;
        segment->last = process_pid();
    }
    unlock(&shm_lock);
}

long sys_shmat(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a1;
    int flags = (int)a2, error;
    int prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    int how = MAP_SHARED | (!addr ? 0 : flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE);

    if (addr && flags & SHM_RND)
        addr = page_down(addr);
    if (!page_aligned(addr) || (!addr && flags & SHM_REMAP))
        return -EINVAL;
    sweep();
    struct file *file = open_segment((int)a0, flags, &error);
    if (!file)
        return error;
    struct tmpfs_node *node = file->object;
    long result = mm_map_file(addr, page_up(store_size(&node->data)), prot, how, file, 0);
    if (result >= 0)
        note(node, true);
    file_put(file);
    return result == -EEXIST ? -EINVAL : result;
}

/* All mappings that one shmat made, or what is left of them. */
long sys_shmdt(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a0, at = addr, end = ~0ull, next, offset;
    struct file *found = NULL;
    bool shared;

    if (!page_aligned(addr))
        return -EINVAL;
    while (at < end) {
        struct file *file = backing_at(at, &offset, &next, &shared);
        struct tmpfs_node *node = file && file->ops == &tmpfs_file_ops ? file->object : NULL;
        if (node && node->segment && offset == at - addr && (!found || found->object == node)) {
            if (!found) {
                end = addr + page_up(store_size(&node->data));
                found = file_get(file);
            }
            (void)mm_unmap_backed(at, (next < end ? next : end) - at);
        }
        if (file)
            file_put(file);
        at = next;
        if (!found)
            break; /* what lies behind it was not made by this shmat, or its start is gone */
    }
    if (!found)
        return -EINVAL;
    note(found->object, false);
    file_put(found);
    sweep();
    return 0;
}

/* ---- shmctl -------------------------------------------------------------------------------------------------------- */
static void describe(const struct segment *segment, struct shmid64_ds *out)
{
    memset(out, 0, sizeof(*out));
    out->shm_perm.key = segment->key;
    out->shm_perm.uid = out->shm_perm.cuid = segment->node->uid;
    out->shm_perm.gid = out->shm_perm.cgid = segment->node->gid;
    out->shm_perm.mode = (segment->node->mode & 0777) | segment->flags;
    out->shm_perm.seq = (unsigned short)segment->sequence;
    out->shm_segsz = segment->size;
    out->shm_atime = segment->attached;
    out->shm_dtime = segment->detached;
    out->shm_ctime = segment->changed;
    out->shm_cpid = (int)segment->creator;
    out->shm_lpid = (int)segment->last;
    out->shm_nattch = backing_count(segment->node);
}

static bool owner(const struct segment *segment)
{
    return !process_uid() || segment->node->uid == process_uid();
}

/* Under the lock, as all that follow. */
static long stat_segment(const struct segment *segment, int command, struct shmid64_ds *out)
{
    long status = command == SHM_STAT_ANY ? 0 : tmpfs_may(segment->node, 4);

    if (!status)
        describe(segment, out);
    return status ? status : command == IPC_STAT ? 0 : identifier(segment);
}

static long change_segment(struct segment *segment, int command, const struct shmid64_ds *in)
{
    if (!owner(segment))
        return -EPERM;
    switch (command) {
    case IPC_RMID:
        segment->flags |= MODE_DESTROYED;
        segment->key = IPC_PRIVATE; /* not to be found any more, but by those who have its number */
        return 0;
    case IPC_SET:
        segment->node->uid = in->shm_perm.uid;
        segment->node->gid = in->shm_perm.gid;
        segment->node->mode = S_IFREG | (in->shm_perm.mode & 0777);
        segment->changed = seconds();
        return 0;
    case SHM_LOCK:
        segment->flags |= MODE_LOCKED;
        return 0;
    default:
        segment->flags &= ~MODE_LOCKED;
        return 0;
    }
}

static long limits(int command, void *user)
{
    struct shminfo64 most = {.shmmax = SHMMAX, .shmmin = SHMMIN, .shmmni = SEGMENTS, .shmseg = SEGMENTS, .shmall = SHMALL};
    struct shm_info now = {0};
    uint32_t highest = 0;

    lock(&shm_lock);
    for (const struct segment *segment = segments; segment; segment = segment->next) {
        highest = segment->index;
        now.used_ids++;
        now.shm_tot += page_up(segment->size) / VIGIL_PAGE;
        now.shm_rss += segment->node->data.pages;
    }
    unlock(&shm_lock);
    int fault = command == IPC_INFO ? copy_to_user(user, &most, sizeof(most)) : copy_to_user(user, &now, sizeof(now));
    return fault ? -EFAULT : (long)highest;
}

static struct segment *addressed(int id, int command)
{
    struct segment *segment = segments;

    if (command != SHM_STAT && command != SHM_STAT_ANY)
        return by_id(id);
    while (segment && segment->index != (uint32_t)id)
        segment = segment->next;
    return segment;
}

long sys_shmctl(SYSCALL_ARGS)
{
    int command = (int)a1 & ~VERSION_64;
    bool asks = command == IPC_STAT || command == SHM_STAT || command == SHM_STAT_ANY;
    struct shmid64_ds data;

    if (a0 < 0)
        return -EINVAL;
    sweep();
    if (command == IPC_INFO || command == SHM_INFO)
        return limits(command, (void *)a2);
    if (!asks && command != IPC_SET && command != IPC_RMID && command != SHM_LOCK && command != SHM_UNLOCK)
        return -EINVAL;
    if (command == IPC_SET && copy_from_user(&data, (void *)a2, sizeof(data)))
        return -EFAULT;
    lock(&shm_lock);
    struct segment *segment = addressed((int)a0, command);
    long result = !segment ? -EINVAL : asks ? stat_segment(segment, command, &data) : change_segment(segment, command, &data);
    unlock(&shm_lock);
    if (result >= 0 && asks && copy_to_user((void *)a2, &data, sizeof(data)))
        return -EFAULT;
    sweep();
    return result;
}
