/* SPDX-License-Identifier: Apache-2.0
 *
 * The set of mapped areas: an AVL tree over [start, end), each node knowing the largest gap inside its subtree, so that
 * finding an area and finding room are both O(log n). Knows nothing of pages' contents or of locks. */
#ifndef VIGIL_VMA_H
#define VIGIL_VMA_H

#include <stdbool.h>
#include <stdint.h>

#define VMA_SHARED (1u << 0)  /* MAP_SHARED; without fork the same as private, but reported and merged apart */
#define VMA_FILE   (1u << 1)  /* filled from a file: MADV_DONTNEED must not zero it */
#define VMA_STALE  (1u << 2)  /* never accessible since it was mapped: still to be zeroed */
#define VMA_RUNTIME (1u << 8) /* the LibOS's own (mm_runtime_map): not the program's to change */

struct vma {
    uint64_t start, end;
    int prot;
    uint32_t flags;
    struct vma *left, *right;
    uint64_t low, high, gap;  /* of the subtree: lowest start, highest end, largest gap between its areas */
    int height;
};

struct vma_set {
    struct vma *root;
    uint64_t count, bytes;
};

/* The area that contains addr, or else the first above it. NULL if there is none. */
struct vma *vma_find(const struct vma_set *set, uint64_t addr);
/* The last area that ends at or below addr. */
struct vma *vma_before(const struct vma_set *set, uint64_t addr);
/* Is [start, end) free? */
bool vma_free_range(const struct vma_set *set, uint64_t start, uint64_t end);
/* The highest start of a free range of length bytes inside [low, high), 0 if there is none. */
uint64_t vma_find_gap(const struct vma_set *set, uint64_t low, uint64_t high, uint64_t length);

/* The area's range must be free. */
void vma_insert(struct vma_set *set, struct vma *vma);
/* Takes the area out; the node still belongs to the caller. */
void vma_remove(struct vma_set *set, struct vma *vma);
/* After [start, end) of an area in the set changed without touching a neighbour. */
void vma_resize(struct vma_set *set, struct vma *vma, uint64_t start, uint64_t end);

#endif
