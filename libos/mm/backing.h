/* SPDX-License-Identifier: Apache-2.0
 *
 * Which file is behind which part of the address space, and what that means for shared mappings.
 *
 * An enclave page has one address, so every mapping is a copy of its own. A shared one is written back: each page has a
 * hash of what it was when it was last equal to the file, and pages whose hash is another one are written, never beyond
 * the end of the file. That happens at msync, munmap, mremap, fsync and exit, and before this process reads or changes the
 * same file through a descriptor; after it has written to the file, or cut it, mappings of it are read again. What is written
 * back is also in the other mappings of that range. Until then, and for mappings of other processes, each is alone.
 *
 * Lock order: the backing's, a file's, the address space's. */
#ifndef VIGIL_MM_BACKING_H
#define VIGIL_MM_BACKING_H

#include "libos/mm/mm.h"

/* [start, end) has been filled from the file at that offset. Takes a reference. 0 or -ENOMEM. */
int backing_add(uint64_t start, uint64_t end, struct file *file, uint64_t offset, bool shared);
/* It is about to be unmapped, or replaced. */
void backing_drop(uint64_t start, uint64_t end);
/* Writes back what has changed in the range. 0 or the first error. */
int backing_sync(uint64_t start, uint64_t end);
/* All of a file's mappings (NULL: everything). */
int backing_sync_file(struct file *file);
/* The file (NULL: any) was written to at [offset, offset + length); or truncated. */
void backing_refresh(struct file *file, uint64_t offset, uint64_t length);
/* The file behind addr, with a reference, and the offset there; *end: up to where, or where the next one begins. NULL: none. */
struct file *backing_at(uint64_t addr, uint64_t *offset, uint64_t *end, bool *shared);

/* Shared mappings of files that are only read cannot be made writable. */
bool backing_may_write(uint64_t start, uint64_t end);

/* How many mappings there are of the file that is this object (struct file's). */
uint32_t backing_count(const void *object);

extern uint32_t backing_shared_count; /* of shared mappings: without any, all of these do nothing, and reads and writes need not ask */

#endif
