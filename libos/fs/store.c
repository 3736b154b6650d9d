/* SPDX-License-Identifier: Apache-2.0
 *
 * A file's pages: a radix tree, as high as the file is long. */
#include "libos/fs/store.h"

#define FAN_SHIFT 9
#define FAN (1u << FAN_SHIFT)
#define LEVELS_MAX 6 /* 512^6 pages are more than any file has */

static uint64_t capacity(unsigned levels)
{
    return levels >= LEVELS_MAX ? ~0ull : 1ull << levels * FAN_SHIFT;
}

static unsigned slot_of(uint64_t index, unsigned level)
{
    return (unsigned)(index >> (level - 1) * FAN_SHIFT) & (FAN - 1);
}

static void *page_at(const struct store *s, uint64_t index)
{
    void *at = index < capacity(s->levels) ? s->root : NULL;

    for (unsigned level = s->levels; level && at; level--)
        at = ((void **)at)[slot_of(index, level)];
    return at;
}

/* A page for the index, made if there is none. NULL: no memory. */
static void *page_make(struct store *s, uint64_t index)
{
    while (index >= capacity(s->levels)) {
        void **higher = s->root ? store_page_new() : NULL;
        if (s->root && !higher)
            return NULL;
        if (higher)
            higher[0] = s->root;
        s->root = higher;
        s->levels++;
    }
    void **link = &s->root;
    for (unsigned level = s->levels;; level--) {
        bool is_new = !*link;
        if (is_new && !(*link = store_page_new()))
            return NULL;
        s->pages += is_new && !level;
        if (!level)
            return *link;
        link = (void **)*link + slot_of(index, level);
    }
}

/* Gives back the pages of [from, to) under one node, and nodes that become empty. Indices are relative to the node. */
static void *drop(struct store *s, void *node, unsigned level, uint64_t from, uint64_t to)
{
    if (!node || from >= to)
        return node;
    if (!level) {
        store_page_free(node);
        s->pages--;
        return NULL;
    }
    void **links = node;
    uint64_t each = capacity(level - 1);
    bool empty = true;
    for (unsigned i = 0; i < FAN; i++) {
        uint64_t base = i * each;
        if (links[i] && base < to && base + each > from)
            links[i] = drop(s, links[i], level - 1, from > base ? from - base : 0, to - base < each ? to - base : each);
        empty &= !links[i];
    }
    if (empty)
        store_page_free(node);
    return empty ? NULL : node;
}

static void drop_range(struct store *s, uint64_t from, uint64_t to)
{
    if (from >= capacity(s->levels))
        return;
    s->root = drop(s, s->root, s->levels, from, to < capacity(s->levels) ? to : capacity(s->levels));
    if (!s->root)
        s->levels = 0;
}

/* A part of one page becomes zeroes. */
static void clear_part(struct store *s, uint64_t from, uint64_t to)
{
    char *page = page_at(s, from / VIGIL_PAGE);

    if (page && from < to)
        memset(page + from % VIGIL_PAGE, 0, to - from);
}

static void clear_range(struct store *s, uint64_t from, uint64_t to)
{
    uint64_t first = (from + VIGIL_PAGE - 1) / VIGIL_PAGE, last = to / VIGIL_PAGE;

    if (first > last) { /* inside one page */
        clear_part(s, from, to);
        return;
    }
    clear_part(s, from, first * VIGIL_PAGE);
    clear_part(s, last * VIGIL_PAGE, to);
    if (first < last)
        drop_range(s, first, last);
}

static void set_size(struct store *s, uint64_t size)
{
    __atomic_store_n(&s->size, size, __ATOMIC_RELAXED);
}

/* ---- reading and writing ----------------------------------------------------------------------------------------- */
static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

long store_read(struct store *s, struct io *io, uint64_t offset)
{
    long done = 0, moved = 0;

    lock(&s->lock);
    while (io->left && offset < s->size) {
        uint64_t n = least(least(VIGIL_PAGE - offset % VIGIL_PAGE, s->size - offset), io->left);
        const char *page = page_at(s, offset / VIGIL_PAGE);
        moved = page ? io_put(io, page + offset % VIGIL_PAGE, n, IO_RUNTIME) : io_clear(io, n);
        if (moved <= 0)
            break;
        done += moved;
        offset += (uint64_t)moved;
        if ((uint64_t)moved < n)
            break;
    }
    unlock(&s->lock);
    return done ? done : moved;
}

/* One page's part of a write. The page stays if only the copy fails: zeroes in a hole are the same. */
static long write_page(struct store *s, struct io *io, uint64_t offset, uint64_t n)
{
    char *page = page_make(s, offset / VIGIL_PAGE);

    return page ? io_get(io, page + offset % VIGIL_PAGE, n, IO_RUNTIME) : -ENOSPC;
}

long store_write(struct store *s, struct io *io, int64_t start, uint64_t limit, uint64_t *end)
{
    long done = 0, moved = 0;

    lock(&s->lock);
    uint64_t offset = start < 0 ? s->size : (uint64_t)start;
    uint64_t most = limit > s->size ? limit : s->size;
    if (io->left && offset >= most)
        moved = most >= STORE_MAX ? -EFBIG : -EPERM;
    while (io->left && offset < most) {
        uint64_t n = least(least(VIGIL_PAGE - offset % VIGIL_PAGE, most - offset), io->left);
        moved = write_page(s, io, offset, n);
        if (moved <= 0)
            break;
        done += moved;
        offset += (uint64_t)moved;
        if (offset > s->size)
            set_size(s, offset);
        if ((uint64_t)moved < n)
            break;
    }
    unlock(&s->lock);
    if (end)
        *end = offset;
    return done ? done : moved;
}

/* ---- the size ---------------------------------------------------------------------------------------------------- */
int store_truncate(struct store *s, uint64_t size)
{
    if (size > STORE_MAX)
        return -EFBIG;
    lock(&s->lock);
    if (size < s->size)
        clear_range(s, size, (s->size + VIGIL_PAGE - 1) & ~(uint64_t)(VIGIL_PAGE - 1));
    set_size(s, size);
    unlock(&s->lock);
    return 0;
}

/* Pages below the index that this call has made are given back. */
static void undo(struct store *s, uint64_t from, uint64_t to, const uint8_t *made)
{
    for (uint64_t i = from; i < to; i++)
        if (made[(i - from) / 8] & 1u << (i - from) % 8)
            drop_range(s, i, i + 1);
}

static int allocate(struct store *s, uint64_t from, uint64_t to)
{
    uint64_t at;

    if (to - from > store_pages_limit())
        return -ENOSPC;
    uint8_t *made = kzalloc((to - from) / 8 + 1);
    if (!made)
        return -ENOSPC;
    for (at = from; at < to; at++) {
        if (page_at(s, at))
            continue;
        if (!page_make(s, at))
            break;
        made[(at - from) / 8] |= (uint8_t)(1u << (at - from) % 8);
    }
    if (at < to)
        undo(s, from, at, made);
    kfree(made);
    return at < to ? -ENOSPC : 0;
}

int store_allocate(struct store *s, uint64_t offset, uint64_t length, bool keep_size)
{
    uint64_t end = offset + length;

    if (end < offset || end > STORE_MAX)
        return -EFBIG;
    lock(&s->lock);
    int error = allocate(s, offset / VIGIL_PAGE, (end + VIGIL_PAGE - 1) / VIGIL_PAGE);
    if (!error && !keep_size && end > s->size)
        set_size(s, end);
    unlock(&s->lock);
    return error;
}

void store_punch(struct store *s, uint64_t offset, uint64_t length)
{
    uint64_t end = length > STORE_MAX - offset ? STORE_MAX : offset + length;

    lock(&s->lock);
    /* Behind the end there are only zeroes: a page with the end in it goes as a whole. */
    if (end >= s->size)
        end = (end + VIGIL_PAGE - 1) & ~(uint64_t)(VIGIL_PAGE - 1);
    clear_range(s, offset, end);
    unlock(&s->lock);
}

/* The first page from index on that is there (or not), at most `end`. */
static uint64_t next_page(const struct store *s, uint64_t index, uint64_t end, bool there)
{
    while (index < end) {
        const void *at = index < capacity(s->levels) ? s->root : NULL;
        unsigned level = s->levels;
        if (index >= capacity(s->levels))
            return there ? end : index;
        for (; level && at; level--)
            at = ((void *const *)at)[slot_of(index, level)];
        if ((at != NULL) == there)
            return index;
        index = at ? index + 1 : (index / capacity(level) + 1) * capacity(level); /* a whole subtree is missing */
    }
    return end;
}

static int64_t seek_data(const struct store *s, uint64_t offset, bool data)
{
    uint64_t pages = (s->size + VIGIL_PAGE - 1) / VIGIL_PAGE;

    if (offset >= s->size)
        return -ENXIO;
    uint64_t index = next_page(s, offset / VIGIL_PAGE, pages, data);
    if (index >= pages)
        return data ? -ENXIO : (int64_t)s->size;
    return (int64_t)(index * VIGIL_PAGE > offset ? index * VIGIL_PAGE : offset);
}

int64_t store_seek(struct store *s, int64_t position, int64_t offset, int whence)
{
    int64_t base = 0, result;

    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        lock(&s->lock);
        result = offset < 0 ? -ENXIO : seek_data(s, (uint64_t)offset, whence == SEEK_DATA);
        unlock(&s->lock);
        return result;
    }
    if (whence == SEEK_CUR)
        base = position;
    else if (whence == SEEK_END)
        base = (int64_t)store_size(s);
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (__builtin_add_overflow(base, offset, &result))
        return -EOVERFLOW;
    return result < 0 ? -EINVAL : result;
}

void store_free(struct store *s)
{
    drop_range(s, 0, ~0ull);
    *s = (struct store){0};
}
