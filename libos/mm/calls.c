/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory system calls: arguments as Linux checks them, then mm.c. */
#include "libos/mm/backing.h"
#include "libos/mm/vma.h"
#include "libos/rewrite/rewrite.h"

#define FILL_CHUNK (256u << 10)
#define SPARSE (64u << 20)       /* from this length on it is worth to ask where a file's holes are */

/* Reads a file's content into a mapping that is still read-write, and whose pages hold anything. Zeroes what lies behind
 * the end of the file (Linux would raise SIGBUS beyond its last page). */
static int fill(struct file *file, uint64_t addr, uint64_t length, uint64_t offset)
{
    uint64_t done = 0;

    while (done < length) {
        if (edmm_on() && length >= SPARSE) /* holes stay pages that are not there */
            done = file_next_data(file, offset + done, offset + length) - offset;
        uint64_t n = length - done < FILL_CHUNK ? length - done : FILL_CHUNK;
        bounce_reset(); /* nothing of this call is there between two reads */
        long got = file_pread(file, (void *)(addr + done), n, offset + done);
        if (got < 0)
            return (int)got;
        if (!got || !n)
            break;
        if ((uint64_t)got > n)
            return -EIO;
        done += (uint64_t)got;
    }
    /* With dynamic memory pages that nobody has touched come as zeroes. */
    uint64_t end = edmm_on() && page_up(done) < length ? page_up(done) : length;
    return clear_user((void *)(addr + done), end - done);
}

/* Nobody runs it yet, and it is still writable. What is shared is the file's content and stays that. */
static void code_loaded(uint64_t start, uint64_t end, bool shared)
{
    mitigation_code_loaded(start, end);
    if (!shared)
        rewrite_code_loaded(start, end);
}

/* What is there makes room for something else. */
static void replaced(uint64_t addr, uint64_t length, int flags)
{
    if (!(flags & MAP_FIXED) || flags & MAP_FIXED_NOREPLACE || !page_aligned(addr) || !user_range_ok((void *)addr, page_up(length)))
        return;
    rewrite_code_gone(addr, addr + page_up(length));
    backing_drop(addr, addr + page_up(length));
}

long mm_map_file(uint64_t addr, uint64_t length, int prot, int flags, struct file *file, uint64_t offset)
{
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    char probe;
    long got;

    if (length > ~0ull - offset)
        return -EOVERFLOW;
    /* Before an existing mapping is replaced: can it be read at all? */
    got = file_pread(file, &probe, 1, offset);
    if (got < 0)
        return got == -EBADF ? -EACCES : got == -EISDIR || got == -ESPIPE ? -ENODEV : got;
    (void)backing_sync_file(file); /* what other mappings of it have changed */
    replaced(addr, length, flags);
    long start = mm_map_flags(addr, length, PROT_RW, flags, VMA_FILE | (shared ? VMA_SHARED : 0));
    if (start < 0)
        return start;
    int error = fill(file, (uint64_t)start, page_up(length), offset);
    if (!error)
        error = backing_add((uint64_t)start, (uint64_t)start + page_up(length), file, offset, shared);
    if (!error && (prot & PROT_EXEC) && !(prot & PROT_WRITE))
        code_loaded((uint64_t)start, (uint64_t)start + page_up(length), shared);
    if (!error && (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) != PROT_RW)
        error = mm_protect((uint64_t)start, page_up(length), prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
    if (error) {
        backing_drop((uint64_t)start, (uint64_t)start + page_up(length));
        mm_unmap((uint64_t)start, page_up(length));
        return error;
    }
    return start;
}

/* MAP_POPULATE of anonymous memory: a try, as in Linux. MAP_LOCKED too; mlock and MADV_POPULATE say what came of it. */
static long populated(long start, uint64_t length, int flags)
{
    if (start >= 0 && (flags & (MAP_POPULATE | MAP_LOCKED)))
        (void)mm_populate((uint64_t)start, page_up(length));
    return start;
}

long sys_mmap(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a0, length = (uint64_t)a1, offset = (uint64_t)a5;
    int prot = (int)a2, flags = (int)a3, type = flags & MAP_TYPE;
    long result;

    if (!page_aligned(offset) || !length)
        return -EINVAL;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (!page_up(length))
        return -ENOMEM;
    if (flags & MAP_ANONYMOUS) {
        if (flags & MAP_HUGETLB)
            return -ENOMEM; /* as on a system without reserved huge pages */
        replaced(addr, length, flags);
        return populated(mm_map(addr, length, prot, flags), length, flags);
    }
    struct file *file = file_from_fd((int)a4);
    if (!file)
        return -EBADF;
    if (type != MAP_PRIVATE && (prot & PROT_WRITE) && !file_can_write(file))
        result = -EACCES;
    else
        result = mm_map_file(addr, length, prot, flags, file, offset);
    file_put(file);
    return result;
}

long mm_unmap_backed(uint64_t addr, uint64_t length)
{
    rewrite_code_gone(addr, addr + length);
    backing_drop(addr, addr + length);
    return mm_unmap(addr, length);
}

long sys_munmap(SYSCALL_ARGS)
{
    uint64_t start = (uint64_t)a0, end = start + page_up((uint64_t)a1);

    if (!page_aligned(start) || end <= start)
        return -EINVAL;
    return mm_unmap_backed(start, end - start);
}

long sys_mprotect(SYSCALL_ARGS)
{
    uint64_t start = (uint64_t)a0, end = start + page_up((uint64_t)a1);
    int prot = (int)a2 & ~PROT_SEM;

    if (prot & (PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL; /* no area grows by itself */
    if (page_aligned(start) && start < end) {
        if (prot & PROT_WRITE && !backing_may_write(start, end))
            return -EACCES;
        if (prot != (PROT_READ | PROT_EXEC))
            rewrite_code_changes(start, end);
        if (!(prot & PROT_READ))
            (void)backing_sync(start, end); /* it cannot be read later */
    }
    return mm_protect(start, (uint64_t)a1, prot);
}

/* A mapping of a file that is to be larger, or elsewhere: mapped anew; a private one takes what it holds along. */
static long remap_file(struct file *file, uint64_t offset, bool shared, uint64_t addr, uint64_t old_length, uint64_t new_length,
                       int flags, uint64_t new_addr)
{
    int prot = libos_page_access(addr), fixed = flags & MREMAP_FIXED ? MAP_FIXED : 0;
    uint64_t keep = old_length < new_length ? old_length : new_length;
    unsigned char chunk[1024];

    if (flags & MREMAP_DONTUNMAP)
        return -EINVAL;
    if (!fixed && new_length <= old_length) {
        if (new_length < old_length) {
            backing_drop(addr + new_length, addr + old_length);
            mm_unmap(addr + new_length, old_length - new_length);
        }
        return (long)addr;
    }
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    if (shared)
        (void)backing_sync(addr, addr + old_length);
    long to = mm_map_file(fixed ? new_addr : 0, new_length, shared ? prot : PROT_RW, fixed | (shared ? MAP_SHARED : MAP_PRIVATE), file,
                       offset);
    if (to < 0)
        return to;
    if (!shared) {
        for (uint64_t at = 0; at < keep; at += sizeof(chunk))
            if (!copy_from_user(chunk, (void *)(addr + at), sizeof(chunk)))
                (void)copy_to_user((void *)(to + (long)at), chunk, sizeof(chunk));
        (void)mm_protect((uint64_t)to, new_length, prot);
    }
    backing_drop(addr, addr + old_length);
    mm_unmap(addr, old_length);
    return to;
}

long sys_mremap(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a0, old_length = page_up((uint64_t)a1), new_length = page_up((uint64_t)a2), offset, end;
    bool shared;

    if (page_aligned(addr) && old_length && new_length) {
        if (new_length > old_length || (int)a3 & MREMAP_FIXED)
            rewrite_code_changes(addr, addr + old_length);
        struct file *file = backing_at(addr, &offset, &end, &shared);
        if (file) {
            long result = addr + old_length > end ? -EFAULT
                        : remap_file(file, offset, shared, addr, old_length, new_length, (int)a3, (uint64_t)a4);
            file_put(file);
            return result;
        }
    }
    if ((int)a3 & MREMAP_FIXED && (addr >= (uint64_t)a4 + new_length || (uint64_t)a4 >= addr + old_length))
        replaced((uint64_t)a4, new_length, MAP_FIXED);
    return mm_remap((uint64_t)a0, (uint64_t)a1, (uint64_t)a2, (int)a3, (uint64_t)a4);
}

long sys_brk(SYSCALL_ARGS)
{
    return (long)mm_brk((uint64_t)a0);
}

/* Address and length as msync, mlock and madvise take them. 1: nothing to do. */
static int check_range(uint64_t addr, uint64_t *length)
{
    uint64_t rounded = page_up(*length);

    if (!page_aligned(addr) || (*length && !rounded) || addr + rounded < addr)
        return -EINVAL;
    *length = rounded;
    return rounded ? 0 : 1;
}

/* Mapped, and with dynamic memory there. */
static int present(uint64_t addr, uint64_t length)
{
    int error = mm_check_mapped(addr, length);
    return error ? error : mm_populate(addr, length);
}

/* Private mappings of files are read again, shared ones are what the file is (once it knows). */
static long discard(uint64_t addr, uint64_t length)
{
    long result = mm_discard(addr, length);
    uint64_t offset, next, end = addr + length;
    bool shared;

    for (uint64_t at = addr; at < end; at = next) {
        struct file *file = backing_at(at, &offset, &next, &shared);
        if (next > end)
            next = end;
        if (!file)
            continue;
        if (!shared && libos_page_access(at) & PROT_WRITE) {
            int error = fill(file, at, next - at, offset);
            result = result ? result : error;
        }
        file_put(file);
    }
    return result;
}

long sys_madvise(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a0, length = (uint64_t)a1;
    int error = check_range(addr, &length);

    switch ((int)a2) {
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return error < 0 ? error : error > 0 ? 0 : present(addr, length);
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        return error < 0 ? error : error > 0 ? 0 : discard(addr, length);
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_FREE:          /* allowed to keep the contents */
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return error < 0 ? error : error > 0 ? 0 : mm_check_mapped(addr, length);
    default:
        return -EINVAL;
    }
}

long sys_msync(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a0, length = (uint64_t)a1;
    int flags = (int)a2;

    if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (!page_aligned(addr))
        return -EINVAL;
    int error = check_range(addr, &length);
    error = error < 0 ? -ENOMEM : error > 0 ? 0 : mm_check_mapped(addr, length);
    int written = length ? backing_sync(addr, addr + length) : 0;
    return error ? error : written;
}

/* Enclave pages are the host's to page out (encrypted), whatever the program asks for. What can be promised is that
 * they are mapped and, with dynamic memory, there. */
static long lock_range(uint64_t addr, uint64_t length, bool now)
{
    length += addr & (VIGIL_PAGE - 1);
    addr = page_down(addr);
    int error = check_range(addr, &length);
    return error < 0 ? error : error > 0 ? 0 : now ? present(addr, length) : mm_check_mapped(addr, length);
}

long sys_mlock(SYSCALL_ARGS)
{
    return lock_range((uint64_t)a0, (uint64_t)a1, true);
}

long sys_mlock2(SYSCALL_ARGS)
{
    return a2 & ~(long)MLOCK_ONFAULT ? -EINVAL : lock_range((uint64_t)a0, (uint64_t)a1, !(a2 & MLOCK_ONFAULT));
}

long sys_munlock(SYSCALL_ARGS)
{
    return lock_range((uint64_t)a0, (uint64_t)a1, false);
}

long sys_mlockall(SYSCALL_ARGS)
{
    int flags = (int)a0;

    if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
        return -EINVAL;
    return 0;
}

long sys_munlockall(SYSCALL_ARGS)
{
    return 0;
}

/* Which pages the host keeps in memory is its secret and its choice; to the program every mapped page is resident. */
long sys_mincore(SYSCALL_ARGS)
{
    uint64_t addr = (uint64_t)a0, length = page_up((uint64_t)a1);
    unsigned char resident[256];

    if (!page_aligned(addr))
        return -EINVAL;
    if (addr + length < addr || ((uint64_t)a1 && !length))
        return -ENOMEM;
    if (length && mm_check_mapped(addr, length))
        return -ENOMEM;
    memset(resident, 1, sizeof(resident));
    for (uint64_t done = 0, pages = length / VIGIL_PAGE; done < pages;) {
        uint64_t n = pages - done < sizeof(resident) ? pages - done : sizeof(resident);
        if (copy_to_user((char *)a2 + done, resident, n))
            return -EFAULT;
        done += n;
    }
    return 0;
}
