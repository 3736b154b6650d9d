/* SPDX-License-Identifier: Apache-2.0
 *
 * The address space: which ranges of application memory are mapped, with which protection.
 *
 * Without dynamic memory application memory is RWX in the EPCM and unmeasured: what it contains at first is the host's
 * choice, and what it contains later may be an earlier mapping's data. So every page is looked at, and zeroed if it is not
 * zero, between being mapped and first becoming accessible; areas that start as PROT_NONE are marked VMA_STALE, and this is
 * done when that changes. The page tables (ocall_protect) follow the program's protections so that stray accesses fault;
 * they are the host's and advisory.
 * With dynamic memory pages are added, zeroed by the processor, when they are first touched. See pages.h. */
#include "libos/mm/backing.h"
#include "libos/mm/pages.h"
#include "libos/mm/vma.h"

#define NODES_PER_SLAB ((VIGIL_PAGE - 64) / sizeof(struct vma)) /* with kmalloc's own header at most a page */
#define NODES_PER_OPERATION 6 /* two splits on each side of a mremap, one insertion, one to spare */
#define MAP_32BIT_END 0x80000000ull

static struct {
    lock_t lock;
    struct vma_set set;
    struct vma *free_nodes; /* linked through right */
    uint32_t free_count;
    uint64_t start, end;
    uint64_t brk_start, brk, brk_limit;
    uint64_t runtime, peak; /* bytes of VMA_RUNTIME; the most of all */
} mm;

/* ---- nodes ------------------------------------------------------------------------------------------------------- */
static void node_put(struct vma *node)
{
    node->right = mm.free_nodes;
    mm.free_nodes = node;
    mm.free_count++;
}

/* Cannot fail: enter() has set enough nodes aside for one operation. */
static struct vma *node_get(void)
{
    struct vma *node = mm.free_nodes;

    mm.free_nodes = node->right;
    mm.free_count--;
    return node;
}

/* Takes the lock with the nodes an operation may need at hand, so that no operation stops half-way for lack of them. */
static int enter(void)
{
    lock(&mm.lock);
    if (mm.free_count >= NODES_PER_OPERATION)
        return 0;
    struct vma *slab = kmalloc(NODES_PER_SLAB * sizeof(*slab));
    if (!slab) {
        unlock(&mm.lock);
        return -ENOMEM;
    }
    for (size_t i = 0; i < NODES_PER_SLAB; i++)
        node_put(&slab[i]);
    return 0;
}

static long leave(long result)
{
    unlock(&mm.lock);
    return result;
}

/* ---- areas ------------------------------------------------------------------------------------------------------- */
static void insert(uint64_t start, uint64_t end, int prot, uint32_t flags)
{
    struct vma *v = node_get();

    *v = (struct vma){.start = start, .end = end, .prot = prot, .flags = flags};
    vma_insert(&mm.set, v);
    if (mm.set.bytes > mm.peak)
        mm.peak = mm.set.bytes;
}

static struct vma *area_at(uint64_t addr)
{
    struct vma *v = vma_find(&mm.set, addr);

    return v && v->start <= addr ? v : NULL;
}

/* Makes addr a border between areas if it is inside one. */
static void split_at(uint64_t addr)
{
    struct vma *v = area_at(addr);

    if (!v || v->start == addr)
        return;
    uint64_t end = v->end;
    vma_resize(&mm.set, v, v->start, addr);
    insert(addr, end, v->prot, v->flags);
}

/* Joins the areas left and right of addr if they differ in nothing. */
static void merge_at(uint64_t addr)
{
    struct vma *right = area_at(addr), *left = addr ? area_at(addr - 1) : NULL;

    if (!left || !right || left == right || left->prot != right->prot || left->flags != right->flags)
        return;
    uint64_t end = right->end;
    vma_remove(&mm.set, right);
    node_put(right);
    vma_resize(&mm.set, left, left->start, end);
}

/* Is some of [start, end) the LibOS's own? */
static bool is_runtime(uint64_t start, uint64_t end)
{
    if (!mm.runtime)
        return false;
    for (const struct vma *v = vma_find(&mm.set, start); v && v->start < end; v = vma_find(&mm.set, v->end))
        if (v->flags & VMA_RUNTIME)
            return true;
    return false;
}

static void remove_range(uint64_t start, uint64_t end)
{
    split_at(start);
    split_at(end);
    for (struct vma *v = vma_find(&mm.set, start); v && v->start < end; v = vma_find(&mm.set, start)) {
        vma_remove(&mm.set, v);
        node_put(v);
    }
}

static void unmap_locked(uint64_t start, uint64_t end)
{
    struct vma *first = vma_find(&mm.set, start), *last = vma_before(&mm.set, end);
    uint64_t from, to;

    if (!first || first->start >= end)
        return;
    /* The hull of what is mapped, in one OCALL. */
    from = first->start > start ? first->start : start;
    to = area_at(end - 1) || !last ? end : last->end;
    remove_range(start, end);
    pages_close(from, to);
}

/* ---- map, unmap, protect ----------------------------------------------------------------------------------------- */
static bool in_space(uint64_t addr, uint64_t length)
{
    return addr >= mm.start && addr <= mm.end && length <= mm.end - addr;
}

/* Where a new mapping goes; 0 and *error if nowhere. */
static uint64_t place(uint64_t addr, uint64_t length, int flags, int *error)
{
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        *error = !page_aligned(addr) ? -EINVAL : !in_space(addr, length) ? -ENOMEM : 0;
        if (!*error && (flags & MAP_FIXED_NOREPLACE) && !vma_free_range(&mm.set, addr, addr + length))
            *error = -EEXIST;
        return *error ? 0 : addr;
    }
    addr = page_down(addr);
    if (addr && in_space(addr, length) && vma_free_range(&mm.set, addr, addr + length))
        return addr;
    uint64_t high = (flags & MAP_32BIT) && mm.end > MAP_32BIT_END ? MAP_32BIT_END : mm.end;
    addr = vma_find_gap(&mm.set, mm.start, high, length);
    *error = addr ? 0 : -ENOMEM;
    return addr;
}

/* open: pages_open, or one of its kin, which says how the memory begins. */
static long map_locked(uint64_t addr, uint64_t length, int prot, int flags, uint32_t vma_flags,
                       int (*open)(uint64_t start, uint64_t end, int prot))
{
    int error = 0;

    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    addr = place(addr, length, flags, &error);
    if (error)
        return error;
    if (flags & MAP_FIXED) {
        if (is_runtime(addr, addr + length))
            return -EINVAL;
        unmap_locked(addr, addr + length);
    }
    if (prot == PROT_NONE && !edmm_on()) {
        vma_flags |= VMA_STALE;
    } else if (open(addr, addr + length, prot)) {
        pages_close(addr, addr + length);
        return -ENOMEM;
    }
    insert(addr, addr + length, prot, vma_flags);
    merge_at(addr + length);
    merge_at(addr);
    return (long)addr;
}

long mm_map_flags(uint64_t addr, uint64_t length, int prot, int flags, uint32_t vma_flags)
{
    if (!length)
        return -EINVAL;
    length = page_up(length);
    if (!length)
        return -ENOMEM;
    if (enter())
        return -ENOMEM;
    return leave(map_locked(addr, length, prot, flags, vma_flags, vma_flags & VMA_FILE ? pages_take : pages_open));
}

long mm_map(uint64_t addr, uint64_t length, int prot, int flags)
{
    bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;

    return mm_map_flags(addr, length, prot, flags, shared ? VMA_SHARED : 0);
}

/* What lies around the LibOS's own memory. */
static void unmap_program(uint64_t start, uint64_t end)
{
    for (struct vma *v = mm.runtime ? vma_find(&mm.set, start) : NULL; v && v->start < end; v = vma_find(&mm.set, start)) {
        uint64_t next = v->end < end ? v->end : end;
        if (!(v->flags & VMA_RUNTIME))
            unmap_locked(v->start > start ? v->start : start, next);
        start = next;
    }
    unmap_locked(start, end);
}

long mm_map_near(uint64_t start, uint64_t end, uint64_t length)
{
    uint64_t low = start - mm.start > MM_NEAR ? start - MM_NEAR : mm.start;
    uint64_t high = mm.end - end > MM_NEAR ? end + MM_NEAR : mm.end;

    if (enter())
        return -ENOMEM;
    uint64_t addr = vma_find_gap(&mm.set, low, start, length);
    if (!addr && !(addr = vma_find_gap(&mm.set, end, high, length)))
        return leave(-ENOMEM);
    return leave(map_locked(addr, length, PROT_RW, MAP_FIXED_NOREPLACE, 0, pages_open));
}

int mm_unmap(uint64_t addr, uint64_t length)
{
    length = page_up(length);
    if (!page_aligned(addr) || !length || addr + length < addr)
        return -EINVAL;
    if (enter())
        return -ENOMEM;
    unmap_program(addr, addr + length);
    return (int)leave(0);
}

/* Makes zeroes with prot of the areas of [start, end) that were never accessible. They end at borders made by split_at. */
static int open_stale(uint64_t start, uint64_t end, int prot)
{
    for (struct vma *v = area_at(start); v && v->start < end; v = area_at(v->end)) {
        if (!(v->flags & VMA_STALE))
            continue;
        if (pages_open(v->start, v->end, prot))
            return -ENOMEM;
        v->flags &= ~VMA_STALE;
    }
    return 0;
}

/* [start, end) is fully mapped and bordered. */
static int protect_run(uint64_t start, uint64_t end, int prot)
{
    const struct vma *first = area_at(start);
    bool opened = prot != PROT_NONE && (first->flags & VMA_STALE) && first->end >= end; /* a thread's new stack */

    if (prot != PROT_NONE && open_stale(start, end, prot))
        return -ENOMEM;
    if (!edmm_on() && !opened && pages_set(start, end, PROT_NONE, prot)) /* in one go: what it was does not matter */
        return -ENOMEM;
    for (uint64_t at = start; at < end;) {
        struct vma *v = area_at(at);
        uint64_t next = v->end;
        if (edmm_on() && pages_set(v->start, v->end, v->prot, prot))
            return -ENOMEM;
        v->prot = prot;
        merge_at(at);
        at = next;
    }
    merge_at(end);
    return 0;
}

/* The end of the mapped run that begins at start, at most end. */
static uint64_t run_end(uint64_t start, uint64_t end)
{
    uint64_t at = start;

    for (struct vma *v = area_at(at); v && at < end; v = area_at(at))
        at = v->end;
    return at < end ? at : end;
}

int mm_protect(uint64_t addr, uint64_t length, int prot)
{
    length = page_up(length);
    if (!page_aligned(addr) || addr + length < addr || prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
        return -EINVAL;
    if (!length)
        return 0;
    if (enter())
        return -ENOMEM;
    uint64_t end = addr + length, mapped = run_end(addr, end);
    int error = 0;
    if (is_runtime(addr, end))
        return (int)leave(-EINVAL);
    /* Like Linux: what lies before a hole is changed, then the hole is an error. */
    if (mapped > addr) {
        split_at(addr);
        split_at(mapped);
        error = protect_run(addr, mapped, prot);
    }
    return (int)leave(error ? error : mapped < end ? -ENOMEM : 0);
}

int libos_page_access(uint64_t address)
{
    lock(&mm.lock);
    const struct vma *v = area_at(address);
    int prot = v ? page_prot(v->prot) : PROT_NONE;
    unlock(&mm.lock);
    return prot;
}

/* ---- mremap ------------------------------------------------------------------------------------------------------ */
static int grow_in_place(struct vma *v, uint64_t new_end)
{
    uint64_t old_end = v->end;

    if (!in_space(v->start, new_end - v->start) || !vma_free_range(&mm.set, old_end, new_end))
        return -ENOMEM;
    if (!(v->flags & VMA_STALE) && pages_open(old_end, new_end, v->prot)) {
        pages_close(old_end, new_end);
        return -ENOMEM;
    }
    vma_resize(&mm.set, v, v->start, new_end);
    merge_at(new_end);
    return 0;
}

static long move_area(struct vma *v, uint64_t addr, uint64_t old_length, uint64_t to, uint64_t new_length, bool keep)
{
    uint64_t length = old_length < new_length ? old_length : new_length;
    int prot = v->prot;
    uint32_t flags = v->flags;

    if (!(flags & VMA_STALE) && pages_move(addr, to, length, new_length, prot)) {
        pages_close(to, to + new_length);
        (void)pages_set(addr, addr + old_length, prot, prot);
        return -ENOMEM;
    }
    if (!keep) {
        unmap_locked(addr, addr + old_length);
    } else if (!(flags & VMA_STALE) && pages_zero(addr, addr + old_length, prot)) {
        return -ENOMEM;
    }
    insert(to, to + new_length, prot, flags);
    merge_at(to + new_length);
    merge_at(to);
    return (long)to;
}

static long remap_locked(uint64_t addr, uint64_t old_length, uint64_t new_length, int flags, uint64_t new_addr)
{
    struct vma *v = area_at(addr);
    bool fixed = flags & MREMAP_FIXED, keep = flags & MREMAP_DONTUNMAP;
    int error;

    if (!v)
        return -EFAULT;
    if (!fixed && !keep && new_length <= old_length) {
        if (new_length < old_length)
            unmap_locked(addr + new_length, addr + old_length);
        return (long)addr;
    }
    if (old_length > v->end - addr)
        return -EFAULT;
    if ((v->flags & VMA_FILE) && (keep || new_length > old_length)) {
        log_line(VIGIL_LOG_DEBUG, "mremap cannot grow or copy a file mapping: map the file anew");
        return keep ? -EINVAL : -ENOMEM;
    }
    if (!fixed && !keep && addr + old_length == v->end && !grow_in_place(v, addr + new_length))
        return (long)addr;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    new_addr = place(new_addr, new_length, fixed ? MAP_FIXED : 0, &error);
    if (error)
        return error;
    if (fixed) {
        unmap_locked(new_addr, new_addr + new_length);
        if (old_length > new_length) {
            unmap_locked(addr + new_length, addr + old_length);
            old_length = new_length;
        }
        v = area_at(addr); /* the node may have been split */
    }
    return move_area(v, addr, old_length, new_addr, new_length, keep);
}

long mm_remap(uint64_t addr, uint64_t old_length, uint64_t new_length, int flags, uint64_t new_addr)
{
    bool fixed = flags & MREMAP_FIXED, keep = flags & MREMAP_DONTUNMAP;

    if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) || !page_aligned(addr))
        return -EINVAL;
    if ((fixed || keep) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if (keep && page_up(old_length) != page_up(new_length))
        return -EINVAL;
    old_length = page_up(old_length);
    new_length = page_up(new_length);
    if (!new_length || !old_length || addr + old_length < addr || addr + new_length < addr)
        return -EINVAL;
    if (fixed && (!page_aligned(new_addr) || !in_space(new_addr, new_length) ||
                  (addr < new_addr + new_length && new_addr < addr + old_length)))
        return -EINVAL;
    if (enter())
        return -ENOMEM;
    if (is_runtime(addr, addr + old_length) || (fixed && is_runtime(new_addr, new_addr + new_length)))
        return leave(-EINVAL);
    return leave(remap_locked(addr, old_length, new_length, flags, fixed || keep ? new_addr : 0));
}

/* ---- brk --------------------------------------------------------------------------------------------------------- */
void mm_set_brk(uint64_t start)
{
    lock(&mm.lock);
    mm.brk_start = mm.brk = page_up(start);
    mm.brk_limit = mm.brk_start + config()->brk_max_size;
    if (mm.brk_limit < mm.brk_start || mm.brk_limit > mm.end)
        mm.brk_limit = mm.end;
    unlock(&mm.lock);
}

/* The new program break, or the old one if it cannot be moved to addr: the raw system call's convention. */
uint64_t mm_brk(uint64_t addr)
{
    if (enter())
        return mm.brk;
    if (addr >= mm.brk_start && addr <= mm.brk_limit) {
        uint64_t now = page_up(mm.brk), next = page_up(addr);
        if (next < now)
            unmap_locked(next, now);
        if (next <= now || map_locked(now, next - now, PROT_RW, MAP_FIXED_NOREPLACE, 0, pages_open_to_use) >= 0)
            mm.brk = addr;
    }
    return (uint64_t)leave((long)mm.brk);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */
int mm_discard(uint64_t addr, uint64_t length)
{
    uint64_t end = addr + length;
    int error = 0;

    if (enter())
        return -ENOMEM;
    if (is_runtime(addr, end))
        return (int)leave(-EINVAL);
    if (run_end(addr, end) < end)
        error = -ENOMEM; /* but what is mapped is still discarded */
    for (struct vma *v = vma_find(&mm.set, addr); v && v->start < end; v = vma_find(&mm.set, v->end)) {
        uint64_t from = v->start > addr ? v->start : addr, to = v->end < end ? v->end : end;
        if (v->flags & VMA_FILE)
            log_line(VIGIL_LOG_DEBUG, "MADV_DONTNEED keeps the contents of a file mapping");
        else if (!(v->flags & VMA_STALE) && pages_zero(from, to, v->prot))
            error = -ENOMEM;
    }
    return (int)leave(error);
}

/* ---- the LibOS's own memory -------------------------------------------------------------------------------------- */
uint64_t mm_runtime_map(uint64_t length, uint64_t align)
{
    if (enter())
        return 0;
    /* With room to move the start up to a multiple. */
    uint64_t start = vma_find_gap(&mm.set, mm.start, mm.end, length + align - VIGIL_PAGE);
    start = (start + align - 1) & ~(align - 1);
    if (start && map_locked(start, length, PROT_RW, MAP_FIXED_NOREPLACE, VMA_RUNTIME, pages_open) < 0)
        start = 0;
    if (start && edmm_on() && pages_commit(start, start + length, PROT_RW, false)) {
        unmap_locked(start, start + length);
        start = 0;
    }
    if (start)
        mm.runtime += length;
    return (uint64_t)leave((long)start);
}

void mm_runtime_unmap(uint64_t addr, uint64_t length)
{
    if (enter()) /* no memory for nodes: it stays */
        return;
    unmap_locked(addr, addr + length);
    mm.runtime -= length;
    (void)leave(0);
}

/* ---- dynamic memory ---------------------------------------------------------------------------------------------- */
static bool allows(const struct vma *v, int access)
{
    return !(access & ~page_prot(v->prot));
}

/* [start, end): each page there that the program may access so; -EFAULT at the first that it may not. */
static int populate_locked(uint64_t start, uint64_t end, int access)
{
    for (uint64_t at = start; at < end;) {
        struct vma *v = area_at(at);
        if (!v || page_prot(v->prot) == PROT_NONE || !allows(v, access))
            return -EFAULT;
        uint64_t to = v->end < end ? v->end : end;
        if (pages_commit(at, to, page_prot(v->prot), false))
            return -ENOMEM;
        at = to;
    }
    return 0;
}

int libos_populate(uint64_t address, uint64_t length, int access)
{
    lock(&mm.lock);
    return (int)leave(populate_locked(page_down(address), page_up(address + length), access));
}

/* MAP_POPULATE, mlock, MADV_POPULATE: what cannot be accessed is passed over, unless it is to be an error. */
int mm_populate(uint64_t addr, uint64_t length)
{
    int error = 0;

    if (!edmm_on())
        return 0;
    lock(&mm.lock);
    for (struct vma *v = vma_find(&mm.set, addr); v && v->start < addr + length && !error; v = vma_find(&mm.set, v->end)) {
        uint64_t from = v->start > addr ? v->start : addr, to = v->end < addr + length ? v->end : addr + length;
        if (page_prot(v->prot) != PROT_NONE)
            error = pages_commit(from, to, page_prot(v->prot), false);
    }
    return (int)leave(error);
}

int mm_fault(uint64_t address, int access)
{
    uint64_t page = page_down(address);

    if (!edmm_on() || !in_space(page, VIGIL_PAGE))
        return 0;
    lock(&mm.lock);
    struct vma *v = area_at(page);
    int status = v && allows(v, access) ? pages_fault(page, v->start, v->end, v->prot) : 0;
    return (int)leave(status);
}

void libos_stray(uint64_t address)
{
    lock(&mm.lock);
    if (edmm_on() && in_space(page_down(address), VIGIL_PAGE))
        page_discard(address);
    unlock(&mm.lock);
}

int mm_check_mapped(uint64_t addr, uint64_t length)
{
    lock(&mm.lock);
    return (int)leave(run_end(addr, addr + length) < addr + length ? -ENOMEM : 0);
}

int mm_prot_at(uint64_t addr)
{
    lock(&mm.lock);
    struct vma *v = area_at(addr);
    return (int)leave(v ? v->prot : -1);
}

uint64_t mm_mapped_bytes(void)
{
    lock(&mm.lock);
    return (uint64_t)leave((long)mm.set.bytes);
}

/* ---- for /proc --------------------------------------------------------------------------------------------------- */
static uint64_t present_bytes(const struct vma *v)
{
    uint64_t bytes = 0;

    if (!edmm_on())
        return v->flags & VMA_STALE ? 0 : v->end - v->start;
    for (uint64_t at = pages_find(v->start, v->end, true); at < v->end;) {
        uint64_t end = pages_find(at, v->end, false);
        bytes += end - at;
        at = pages_find(end, v->end, true);
    }
    return bytes;
}

/* The file behind it, and only the part of it that has this file. */
static void add_file(struct mm_area *area)
{
    uint64_t end, present = area->end - area->start == area->present ? ~0ull : area->present;
    bool shared;
    struct file *file = backing_at(area->start, &area->offset, &end, &shared);

    if (end < area->end)
        area->end = end;
    if (area->present > area->end - area->start || present == ~0ull)
        area->present = area->end - area->start;
    if (!file)
        return;
    area->name = file_name(file);
    file_put(file);
}

/* The part of an area from addr on that is the heap as a whole, or not at all: neighbours may have become one with it. */
static struct mm_area heap_or_not(const struct vma *v, uint64_t addr)
{
    uint64_t start = v->start > addr ? v->start : addr, end = v->end, low = mm.brk_start, high = page_up(mm.brk);
    uint64_t present = present_bytes(v);
    bool heap = start >= low && start < high;

    if (heap && high < end)
        end = high;
    else if (start < low && low < high && low < end)
        end = low;
    if (present == v->end - v->start || present > end - start)
        present = end - start;
    return (struct mm_area){.start = start, .end = end, .present = present, .prot = v->prot, .flags = v->flags, .heap = heap};
}

bool mm_next_area(uint64_t addr, struct mm_area *area)
{
    lock(&mm.lock);
    const struct vma *v = vma_find(&mm.set, addr);
    while (v && v->flags & VMA_RUNTIME)
        v = vma_find(&mm.set, v->end);
    if (v)
        *area = heap_or_not(v, addr);
    unlock(&mm.lock);
    if (!v)
        return false;
    add_file(area);
    return true;
}

uint64_t mm_peak_bytes(void)
{
    lock(&mm.lock);
    return (uint64_t)leave((long)mm.peak);
}

uint64_t mm_runtime_bytes(void)
{
    lock(&mm.lock);
    return (uint64_t)leave((long)mm.runtime);
}

int mm_init(void)
{
    const struct vigil_boot_info *boot = boot_info();

    while (mm.set.root) {
        struct vma *v = mm.set.root;
        vma_remove(&mm.set, v);
        node_put(v);
    }
    mm.start = page_up(boot->app_start);
    mm.end = page_down(boot->app_end);
    mm.brk_start = mm.brk = mm.brk_limit = 0;
    mm.runtime = mm.peak = 0;
    if (mm.start >= mm.end)
        return -ENOMEM;
    return edmm_on() ? 0 : ocall_protect(mm.start, mm.end - mm.start, PROT_NONE);
}
