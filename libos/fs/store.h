/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a file that is inside (tmpfs, memfd): pages by number, sparse, out of application memory that the
 * program does not see as its own (mm_runtime_map). All stores together get at most half of application memory; more is
 * -ENOSPC. Every function takes the store's lock itself, unless it says otherwise; store_size may be read without. The
 * last file_put of a file with a store gives memory back: not to be called with the address space's lock held. */
#ifndef VIGIL_STORE_H
#define VIGIL_STORE_H

#include "libos/fs/fs.h"

struct store {
    lock_t lock;
    uint64_t size;      /* of the file in bytes; where no page is, it reads as zeroes */
    uint64_t pages;     /* that hold data */
    unsigned levels;    /* root is a page of data (0) or of 512 pointers */
    void *root;
};

#define STORE_MAX INT64_MAX /* bytes of a file */

/* A store of zeroes is an empty one. Gives everything back and is empty again; nobody else uses it any more. */
void store_free(struct store *store);
/* As many bytes as there are up to the end of the file; 0 there. */
long store_read(struct store *store, struct io *io, uint64_t offset);
/* offset < 0: at the end. How many bytes (fewer when memory ends), -ENOSPC, -EFBIG or -EFAULT. *end, if not NULL, gets
 * the offset behind the last byte. limit: the file must not become longer by this (STORE_MAX, a sealed memfd's size):
 * bytes behind it are not written, -EPERM if there are none before. */
long store_write(struct store *store, struct io *io, int64_t offset, uint64_t limit, uint64_t *end);
/* Shorter: what is cut off is gone. Longer: zeroes. -EFBIG */
int store_truncate(struct store *store, uint64_t size);
/* Makes sure that [offset, offset + length) has pages; the file grows to its end unless keep_size. -ENOSPC: it is as it
 * was. */
int store_allocate(struct store *store, uint64_t offset, uint64_t length, bool keep_size);
/* Zeroes, and gives back whole pages. The size stays. */
void store_punch(struct store *store, uint64_t offset, uint64_t length);
/* SEEK_SET, SEEK_CUR (from position), SEEK_END, SEEK_DATA, SEEK_HOLE: the new position, -EINVAL, -ENXIO. */
int64_t store_seek(struct store *store, int64_t position, int64_t offset, int whence);
static inline uint64_t store_size(const struct store *store)
{
    return __atomic_load_n(&store->size, __ATOMIC_RELAXED);
}
/* For statfs and /proc/meminfo: pages in use by all stores, and at most. */
uint64_t store_pages_used(void);
uint64_t store_pages_limit(void);
/* One page, zeroed, out of the same memory, for what should not fill the runtime's heap. NULL: none left. */
void *store_page_new(void);
void store_page_free(void *page);
void store_init(void);  /* at the start */

#endif
