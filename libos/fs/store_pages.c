/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the pages of stores come from: slabs of 1 MiB of application memory, aligned, so that a page knows its slab. A
 * slab's first page holds its books. A slab without pages in use goes back, but for one. */
#include "libos/fs/store.h"
#include "libos/mm/mm.h"

#define SLAB_SIZE (1ull << 20)
#define SLAB_PAGES (SLAB_SIZE / VIGIL_PAGE)
#define WORDS (SLAB_PAGES / 64)

struct slab {
    struct slab *next, *previous;   /* those with free pages */
    uint32_t used;                  /* the books' own included */
    uint64_t taken[WORDS];          /* a bit for each page */
    uint64_t dirty[WORDS];          /* not zeroes any more */
};

static lock_t slabs_lock;
static struct slab *with_room;
static uint32_t empty_slabs;
static uint64_t pages_used;

static void link_slab(struct slab *slab)
{
    slab->previous = NULL;
    slab->next = with_room;
    if (with_room)
        with_room->previous = slab;
    with_room = slab;
}

static void unlink_slab(struct slab *slab)
{
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        with_room = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
}

/* Under slabs_lock, which it lets go of meanwhile: mapping may call the host. */
static bool add_slab(void)
{
    unlock(&slabs_lock);
    struct slab *slab = (struct slab *)mm_runtime_map(SLAB_SIZE, SLAB_SIZE);
    lock(&slabs_lock);
    if (!slab)
        return with_room != NULL;
    slab->used = 1;
    slab->taken[0] = 1;
    link_slab(slab);
    empty_slabs++;
    return true;
}

static uint32_t take_page(struct slab *slab)
{
    uint32_t word = 0;

    while (!~slab->taken[word])
        word++;
    uint32_t bit = (uint32_t)__builtin_ctzll(~slab->taken[word]);
    slab->taken[word] |= 1ull << bit;
    empty_slabs -= slab->used == 1;
    if (++slab->used == SLAB_PAGES)
        unlink_slab(slab);
    return word * 64 + bit;
}

/* The lock is not held while a page is cleared: it is ours by then. */
void *store_page_new(void)
{
    void *page = NULL;
    bool dirty = false;

    lock(&slabs_lock);
    if (pages_used < store_pages_limit() && (with_room || add_slab())) {
        struct slab *slab = with_room;
        uint32_t number = take_page(slab);
        uint64_t bit = 1ull << number % 64;
        dirty = slab->dirty[number / 64] & bit;
        slab->dirty[number / 64] |= bit;
        page = (char *)slab + (uint64_t)number * VIGIL_PAGE;
        pages_used++;
    }
    unlock(&slabs_lock);
    if (dirty)
        memset(page, 0, VIGIL_PAGE);
    return page;
}

void store_page_free(void *page)
{
    struct slab *slab = (struct slab *)((uint64_t)page & ~(SLAB_SIZE - 1));
    uint64_t number = ((uint64_t)page & (SLAB_SIZE - 1)) / VIGIL_PAGE;
    bool give_back = false;

    lock(&slabs_lock);
    if (!number || !(slab->taken[number / 64] & 1ull << number % 64))
        runtime_fail("a page of a file in memory is freed twice");
    slab->taken[number / 64] &= ~(1ull << number % 64);
    pages_used--;
    if (slab->used-- == SLAB_PAGES)
        link_slab(slab);
    if (slab->used == 1) {
        give_back = empty_slabs > 0;
        if (give_back)
            unlink_slab(slab);
        else
            empty_slabs++;
    }
    unlock(&slabs_lock);
    if (give_back)
        mm_runtime_unmap((uint64_t)slab, SLAB_SIZE);
}

uint64_t store_pages_used(void)
{
    return __atomic_load_n(&pages_used, __ATOMIC_RELAXED);
}

uint64_t store_pages_limit(void)
{
    return (boot_info()->app_end - boot_info()->app_start) / 2 / VIGIL_PAGE;
}

void store_init(void)
{
    with_room = NULL;
    empty_slabs = 0;
    pages_used = 0;
}
