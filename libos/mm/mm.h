/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside mm/: the address space's operations beyond those in libos/libos.h. All addresses and lengths are multiples of
 * a page unless said otherwise; every function takes the lock itself. */
#ifndef VIGIL_MM_H
#define VIGIL_MM_H

#include "libos/libos.h"

#include <linux/mman.h>

#define PROT_RW (PROT_READ | PROT_WRITE)

static inline uint64_t page_up(uint64_t x)
{
    return (x + VIGIL_PAGE - 1) & ~(uint64_t)(VIGIL_PAGE - 1);
}

static inline uint64_t page_down(uint64_t x)
{
    return x & ~(uint64_t)(VIGIL_PAGE - 1);
}

static inline bool page_aligned(uint64_t x)
{
    return !(x & (VIGIL_PAGE - 1));
}

/* fs/: the open file behind a descriptor, with a reference (file_put), or NULL. */
struct file *file_from_fd(int fd);
bool file_can_write(const struct file *file);
/* The first offset in [from, end] at which a file may hold anything but zeroes. */
uint64_t file_next_data(struct file *file, uint64_t from, uint64_t end);
char *file_name(const struct file *file);   /* its path inside, kmalloc'ed, or NULL */

/* mm_map with vma_flags (mm/vma.h) for what fills the area itself afterwards. */
long mm_map_flags(uint64_t addr, uint64_t length, int prot, int flags, uint32_t vma_flags);
/* Somewhere around [start, end), readable and writable: no farther from it than MM_NEAR, and below if there is room. */
#define MM_NEAR (1ull << 30)
long mm_map_near(uint64_t start, uint64_t end, uint64_t length);
/* calls.c: a file is mapped, or what is behind any mapping taken away, with all that hangs on it. */
long mm_map_file(uint64_t addr, uint64_t length, int prot, int flags, struct file *file, uint64_t offset);
long mm_unmap_backed(uint64_t addr, uint64_t length);
long mm_remap(uint64_t addr, uint64_t old_length, uint64_t new_length, int flags, uint64_t new_addr);
uint64_t mm_brk(uint64_t addr);
/* Forget the contents: the pages read as zero afterwards. -ENOMEM if part of the range is not mapped. */
int mm_discard(uint64_t addr, uint64_t length);
/* Dynamic memory: pages are added now instead of at their first use. -ENOMEM: not all of them. */
int mm_populate(uint64_t addr, uint64_t length);
/* 0 if every page of the range is mapped, else -ENOMEM. */
int mm_check_mapped(uint64_t addr, uint64_t length);
uint64_t mm_mapped_bytes(void);

/* For /proc: the area that contains addr, or else the first above it, but for the LibOS's own; false: there is none. */
struct mm_area {
    uint64_t start, end, present /* bytes of pages that are there */;
    int prot;
    uint32_t flags;             /* VMA_ */
    bool heap;
    uint64_t offset;            /* in the file, if it has one */
    char *name;                 /* of the file, kmalloc'ed: for the caller to kfree; NULL: none */
};
bool mm_next_area(uint64_t addr, struct mm_area *area);
uint64_t mm_peak_bytes(void);   /* the most that was mapped at a time, the LibOS's own included */
uint64_t mm_runtime_bytes(void);

/* Memory of the LibOS's own, out of application memory: there, zeroed, readable and writable. munmap passes it over, what
 * else the program asks to be done to it is -EINVAL. align: a power of two. 0: no room. */
uint64_t mm_runtime_map(uint64_t length, uint64_t align);
void mm_runtime_unmap(uint64_t addr, uint64_t length);

#endif
