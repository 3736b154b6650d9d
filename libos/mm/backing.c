/* SPDX-License-Identifier: Apache-2.0
 *
 * See backing.h. */
#include "libos/mm/backing.h"

#include "libos/fs/fs.h"

struct backing {
    struct backing *next;       /* by address, not overlapping */
    uint64_t start, end, offset;
    struct file *file;
    bool shared;
    uint64_t *hash;             /* of each page, for shared mappings that can be written */
};

static lock_t backing_lock;
static struct backing *first;
static uint64_t key;            /* a host that could predict hashes could make a change look like none */
static unsigned char page_buffer[VIGIL_PAGE]; /* under the lock */
uint32_t backing_shared_count;

/* ---- pages --------------------------------------------------------------------------------------------------------- */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9fb21c651e98df25ull;
    return h ^ h >> 29;
}

static uint64_t hash_words(const unsigned char *page)
{
    uint64_t lane[4] = {key, ~key, key * 3, key * 5}, words[4];

    for (size_t at = 0; at < VIGIL_PAGE; at += sizeof(words)) {
        memcpy(words, page + at, sizeof(words));
        for (int i = 0; i < 4; i++)
            lane[i] = mix(lane[i], words[i]);
    }
    return mix(mix(mix(lane[0], lane[1]), lane[2]), lane[3]);
}

static uint64_t hash_of_zeroes;

static uint64_t hash_page(const unsigned char *page)
{
    return hash_words(page) ^ hash_of_zeroes;
}

/* With dynamic memory: nobody has touched it, it would be zeroes. */
static bool untouched(uint64_t page)
{
    return edmm_on() && !page_present(page);
}

static uint64_t *hash_of(const struct backing *b, uint64_t page)
{
    return &b->hash[(page - b->start) / VIGIL_PAGE];
}

static void take_hashes(const struct backing *b, uint64_t start, uint64_t end)
{
    for (uint64_t page = start; b->hash && page < end; page += VIGIL_PAGE)
        if (!untouched(page) && !copy_from_user(page_buffer, (void *)page, VIGIL_PAGE))
            *hash_of(b, page) = hash_page(page_buffer);
}

static int write_page(const struct backing *b, uint64_t page, uint64_t size)
{
    uint64_t offset = b->offset + (page - b->start);
    uint64_t n = offset >= size ? 0 : size - offset < VIGIL_PAGE ? size - offset : VIGIL_PAGE;
    struct io io;

    if (!n)
        return 0;
    io_runtime(&io, page_buffer, n);
    long written = b->file->ops->write(b->file, &io, (int64_t)offset);
    return written == (long)n ? 0 : written < 0 ? (int)written : -EIO;
}

/* What is in the page buffer becomes the page's content. */
static void fill_page(const struct backing *b, uint64_t page)
{
    int prot = libos_page_access(page);

    if (!prot || (!(prot & PROT_WRITE) && mm_protect(page, VIGIL_PAGE, prot | PROT_WRITE)))
        return;
    if (!copy_to_user((void *)page, page_buffer, VIGIL_PAGE) && b->hash)
        *hash_of(b, page) = hash_page(page_buffer);
    if (!(prot & PROT_WRITE))
        (void)mm_protect(page, VIGIL_PAGE, prot);
}

static bool same_file(struct file *a, struct file *b)
{
    struct stat sa, sb;

    if (a == b)
        return true;
    if (a->ops != b->ops || file_stat(a, &sa) || file_stat(b, &sb))
        return false;
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* The page buffer has been written to the file: other shared mappings of that page have it, too. */
static void spread(const struct backing *from, uint64_t offset)
{
    for (const struct backing *b = first; b && backing_shared_count > 1; b = b->next)
        if (b != from && b->shared && offset >= b->offset && offset - b->offset < b->end - b->start && same_file(b->file, from->file))
            fill_page(b, b->start + (offset - b->offset));
}

/* Pages that the program has made inaccessible stay as they are in the file. */
static int sync_pages(const struct backing *b, uint64_t start, uint64_t end)
{
    struct stat stat;
    int error = 0;

    if (!b->hash)
        return 0;
    stat.st_size = -1;
    for (uint64_t page = start; page < end; page += VIGIL_PAGE) {
        if (untouched(page) || copy_from_user(page_buffer, (void *)page, VIGIL_PAGE))
            continue;
        uint64_t hash = hash_page(page_buffer);
        if (hash == *hash_of(b, page))
            continue;
        if (stat.st_size < 0 && file_stat(b->file, &stat))
            return -EIO;
        int status = write_page(b, page, (uint64_t)stat.st_size);
        error = error ? error : status;
        if (status)
            continue;
        *hash_of(b, page) = hash;
        spread(b, b->offset + (page - b->start));
    }
    return error;
}

/* From the file again, zeroes behind its end. */
static void read_pages(const struct backing *b, uint64_t start, uint64_t end)
{
    for (uint64_t page = start; page < end; page += VIGIL_PAGE) {
        memset(page_buffer, 0, VIGIL_PAGE);
        if (file_pread(b->file, page_buffer, VIGIL_PAGE, b->offset + (page - b->start)) >= 0)
            fill_page(b, page);
    }
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */
static struct backing *new_backing(uint64_t start, uint64_t end, struct file *file, uint64_t offset, bool shared)
{
    struct backing *b = kzalloc(sizeof(*b));

    if (!b)
        return NULL;
    *b = (struct backing){.start = start, .end = end, .offset = offset, .file = file, .shared = shared};
    if (shared && file_can_write(file)) {
        b->hash = kzalloc((end - start) / VIGIL_PAGE * sizeof(*b->hash));
        if (!b->hash) {
            kfree(b);
            return NULL;
        }
    }
    file_get(file);
    __atomic_add_fetch(&backing_shared_count, shared, __ATOMIC_RELAXED);
    return b;
}

static void free_backing(struct backing *b)
{
    __atomic_sub_fetch(&backing_shared_count, b->shared, __ATOMIC_RELAXED);
    file_put(b->file);
    kfree(b->hash);
    kfree(b);
}

static void link_in(struct backing *b)
{
    struct backing **link = &first;

    while (*link && (*link)->start < b->start)
        link = &(*link)->next;
    b->next = *link;
    *link = b;
}

static void make_key(void)
{
    if (key)
        return;
    while (!key)
        if (random_bytes(&key, sizeof(key)))
            key = 1;
    memset(page_buffer, 0, VIGIL_PAGE);
    hash_of_zeroes = hash_words(page_buffer);
}

int backing_add(uint64_t start, uint64_t end, struct file *file, uint64_t offset, bool shared)
{
    struct backing *b = new_backing(start, end, file, offset, shared);

    if (!b)
        return -ENOMEM;
    lock(&backing_lock);
    make_key();
    take_hashes(b, start, end);
    link_in(b);
    unlock(&backing_lock);
    return 0;
}

/* Makes addr a border between two. Without memory for it the upper part is forgotten. */
static void split_at(uint64_t addr)
{
    struct backing *b = first;

    while (b && !(b->start < addr && addr < b->end))
        b = b->next;
    if (!b)
        return;
    struct backing *upper = new_backing(addr, b->end, b->file, b->offset + (addr - b->start), b->shared);
    if (upper) {
        if (upper->hash)
            memcpy(upper->hash, hash_of(b, addr), (b->end - addr) / VIGIL_PAGE * sizeof(*b->hash));
        link_in(upper);
    }
    b->end = addr;
}

void backing_drop(uint64_t start, uint64_t end)
{
    struct backing *gone = NULL;

    if (!__atomic_load_n(&first, __ATOMIC_RELAXED))
        return;
    lock(&backing_lock);
    split_at(start);
    split_at(end);
    for (struct backing **link = &first; *link;) {
        struct backing *b = *link;
        if (b->start < start || b->end > end) {
            link = &b->next;
            continue;
        }
        (void)sync_pages(b, b->start, b->end);
        *link = b->next;
        b->next = gone;
        gone = b;
    }
    unlock(&backing_lock);
    while (gone) {
        struct backing *b = gone;
        gone = b->next;
        free_backing(b);
    }
}

static bool nothing_shared(void)
{
    return !__atomic_load_n(&backing_shared_count, __ATOMIC_RELAXED);
}

int backing_sync(uint64_t start, uint64_t end)
{
    int error = 0;

    if (nothing_shared())
        return 0;
    lock(&backing_lock);
    for (const struct backing *b = first; b; b = b->next) {
        uint64_t from = b->start > start ? b->start : start, to = b->end < end ? b->end : end;
        int status = from < to ? sync_pages(b, from, to) : 0;
        error = error ? error : status;
    }
    unlock(&backing_lock);
    return error;
}

int backing_sync_file(struct file *file)
{
    int error = 0;

    if (nothing_shared())
        return 0;
    lock(&backing_lock);
    for (const struct backing *b = first; b; b = b->next) {
        int status = b->hash && (!file || same_file(b->file, file)) ? sync_pages(b, b->start, b->end) : 0;
        error = error ? error : status;
    }
    unlock(&backing_lock);
    return error;
}

void backing_refresh(struct file *file, uint64_t offset, uint64_t length)
{
    if (nothing_shared() || (file && file_type(file) != S_IFREG))
        return;
    lock(&backing_lock);
    for (const struct backing *b = first; b; b = b->next) {
        uint64_t end = b->offset + (b->end - b->start);
        if (!b->shared || offset >= end || offset + length <= b->offset || (file && !same_file(b->file, file)))
            continue;
        uint64_t from = offset > b->offset ? page_down(offset) : b->offset;
        uint64_t to = offset + length < end ? page_up(offset + length) : end;
        read_pages(b, b->start + (from - b->offset), b->start + (to - b->offset));
    }
    unlock(&backing_lock);
}

struct file *backing_at(uint64_t addr, uint64_t *offset, uint64_t *end, bool *shared)
{
    struct file *file = NULL;

    *end = ~0ull;
    lock(&backing_lock);
    for (const struct backing *b = first; b; b = b->next) {
        if (b->end <= addr)
            continue;
        if (b->start > addr) {
            *end = b->start;
            break;
        }
        *end = b->end;
        *offset = b->offset + (addr - b->start);
        *shared = b->shared;
        file = file_get(b->file);
        break;
    }
    unlock(&backing_lock);
    return file;
}

uint32_t backing_count(const void *object)
{
    uint32_t count = 0;

    lock(&backing_lock);
    for (const struct backing *b = first; b; b = b->next)
        count += b->file->object == object;
    unlock(&backing_lock);
    return count;
}

bool backing_may_write(uint64_t start, uint64_t end)
{
    const struct backing *b;

    if (nothing_shared())
        return true;
    lock(&backing_lock);
    for (b = first; b && !(b->start < end && start < b->end && b->shared && !file_can_write(b->file));)
        b = b->next;
    unlock(&backing_lock);
    return !b;
}
