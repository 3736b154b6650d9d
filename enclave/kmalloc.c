/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime's heap: power-of-two size classes on a bump area, one free list each. Small, constant time, no coalescing:
 * LibOS objects come in few sizes. */
#include "enclave/edmm.h"

#define MIN_SHIFT 5
#define GROWTH (32 * VIGIL_PAGE) /* dynamic memory: added at a time */
#define CLASSES 22   /* 32 bytes .. 64 MiB */

struct header { uint64_t class_index, pad; };
struct free_block { struct free_block *next; };

static lock_t heap_lock;
static uint64_t next_free, heap_ready, heap_end; /* from heap_ready on the pages are still to be added */
static struct free_block *free_lists[CLASSES];

void kheap_init(uint64_t start, uint64_t ready, uint64_t end)
{
    next_free = start;
    heap_ready = ready;
    heap_end = end;
}

/* The runtime never touches a page of its own that is not there. */
static bool grow(uint64_t to)
{
    uint64_t end = heap_ready + GROWTH;

    if (to <= heap_ready)
        return true;
    if (end < to)
        end = (to + VIGIL_PAGE - 1) & ~(uint64_t)(VIGIL_PAGE - 1);
    if (end > heap_end)
        end = heap_end;
    if (edmm_add_runtime(heap_ready, end))
        return false;
    heap_ready = end;
    return true;
}

static unsigned class_of(size_t size)
{
    unsigned c = 0;
    while (c < CLASSES && ((size_t)1 << (c + MIN_SHIFT)) < size)
        c++;
    return c;
}

void *kmalloc(size_t size)
{
    if (size > ((size_t)1 << (CLASSES + MIN_SHIFT - 1)))
        return NULL;
    unsigned c = class_of(size + sizeof(struct header));
    struct header *h = NULL;
    if (c >= CLASSES)
        return NULL;
    size_t block = (size_t)1 << (c + MIN_SHIFT);
    lock(&heap_lock);
    if (free_lists[c]) {
        h = (struct header *)free_lists[c];
        free_lists[c] = free_lists[c]->next;
    } else if (heap_end - next_free >= block && grow(next_free + block)) {
        h = (struct header *)next_free;
        next_free += block;
    }
    unlock(&heap_lock);
    if (!h)
        return NULL;
    h->class_index = c;
    return h + 1;
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);
    if (p)
        memset(p, 0, size);
    return p;
}

void kfree(void *p)
{
    if (!p)
        return;
    struct header *h = (struct header *)p - 1;
    uint64_t c = h->class_index;
    if (c >= CLASSES)
        runtime_fail("the runtime's heap is damaged (kfree)");
    struct free_block *block = (struct free_block *)h;
    lock(&heap_lock);
    /* cppcheck-suppress arrayIndexOutOfBoundsCond; runtime_fail does not return */
    block->next = free_lists[c];
    /* cppcheck-suppress arrayIndexOutOfBoundsCond */
    free_lists[c] = block;
    unlock(&heap_lock);
}
