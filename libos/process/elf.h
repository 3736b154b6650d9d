/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading an ELF executable: every field is checked before it is used. Needs nothing of the enclave but format(). */
#ifndef VIGIL_ELF_H
#define VIGIL_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_HEADERS 64
#define ELF_MAX_SEGMENTS 32
#define ELF_CAUSE_SIZE 192
#define ELF_INTERPRETER_SIZE 256

/* Reads up to n bytes; fewer only at the end of the file; negative: -errno. */
struct elf_source {
    long (*read)(void *context, void *buf, size_t n, uint64_t offset);
    void *context;
};

struct elf_segment {
    uint64_t vaddr, memsz, offset, filesz;
    int prot;
};

struct elf_image {
    bool pie;          /* position-independent: addresses below are relative to a bias */
    bool exec_stack;
    uint64_t entry;
    uint64_t phdr;     /* where the program headers are in memory, 0 if in no segment */
    uint32_t phnum;
    uint64_t low, high; /* of all segments, rounded to pages */
    uint64_t align;    /* the largest alignment a segment asks for, at least a page */
    uint32_t segments;
    struct elf_segment segment[ELF_MAX_SEGMENTS]; /* ascending, not overlapping */
    char interpreter[ELF_INTERPRETER_SIZE]; /* the dynamic loader (PT_INTERP), "": none */
};

/* false: cause (ELF_CAUSE_SIZE bytes) says why this cannot be run. */
bool elf_parse(const struct elf_source *source, struct elf_image *image, char *cause);
/* Chooses the bias inside [start, end): 0 for a program linked to fixed addresses. */
bool elf_place(const struct elf_image *image, uint64_t start, uint64_t end, uint64_t *bias, char *cause);
/* The same for a position-independent one, as low as its alignment allows. */
bool elf_place_at(const struct elf_image *image, uint64_t start, uint64_t end, uint64_t *bias, char *cause);

#endif
