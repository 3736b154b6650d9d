/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of image/ share. */
#ifndef VIGIL_IMAGE_INTERNAL_H
#define VIGIL_IMAGE_INTERNAL_H

#include "image/image.h"
#include "vigil/layout.h"

#define PAGE_UP(x) (((x) + (uint64_t)VIGIL_PAGE - 1) & ~((uint64_t)VIGIL_PAGE - 1))
#define PAGE_DOWN(x) ((x) & ~((uint64_t)VIGIL_PAGE - 1))

/* Writes the message and returns -1. */
int image_fail(struct image_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* runtime_elf.c: the runtime's memory image, relocated for base, and where its parts lie. */
struct runtime_segment { uint64_t vaddr, length, secinfo_flags; };
struct runtime_elf {
    uint8_t *memory;             /* owned, page aligned, span bytes */
    uint64_t span, entry, boot_offset;
    struct runtime_segment segments[16];
    size_t segment_count;
};
/* The ELF header alone: what it says of the other headers lies in the file. */
int runtime_elf_check_header(const void *file, size_t size, struct image_error *error);
/* Validates and sizes only; base is not known yet. */
int runtime_elf_open(struct runtime_elf *elf, const void *file, size_t size, struct image_error *error);
int runtime_elf_relocate(struct runtime_elf *elf, const void *file, size_t size, uint64_t base,
                         struct image_error *error);

/* config.c */
#ifdef __cplusplus
extern "C" {
#endif
int manifest_config_check(const struct vigil_config *config, struct image_error *error);
/* manifest_scan.c: the number of the line in which a dotted key has more parts than any manifest needs; 0: none. */
size_t manifest_deep_key(const char *text, size_t size);
int config_check(const struct vigil_config *config, size_t size, struct image_error *error);
#ifdef __cplusplus
}
#endif

#endif
