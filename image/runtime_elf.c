/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the runtime (a static PIE). Everything in the file is checked, since a signed image carries it. */
#include "image/internal.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SPAN (64ull << 20)
#define SECTION_RELR 19 /* packed relative relocations; not in every elf.h */

static bool in_file(uint64_t offset, uint64_t length, size_t size)
{
    return offset <= size && length <= size - offset;
}

int runtime_elf_check_header(const void *file, size_t size, struct image_error *error)
{
    const Elf64_Ehdr *eh = file;

    if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG))
        return image_fail(error, "the runtime is not an ELF file");
    if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64 || eh->e_type != ET_DYN)
        return image_fail(error, "the runtime is not an x86-64 static PIE");
    if (eh->e_phentsize != sizeof(Elf64_Phdr) || !in_file(eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr), size) ||
        eh->e_shentsize != sizeof(Elf64_Shdr) || !in_file(eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr), size) ||
        eh->e_phoff % 8 || eh->e_shoff % 8 || eh->e_shstrndx >= eh->e_shnum)
        return image_fail(error, "the runtime ELF is truncated or malformed (headers)");
    return 0;
}

static int find_segments(struct runtime_elf *elf, const uint8_t *file, size_t size, struct image_error *error)
{
    const Elf64_Ehdr *eh = (const void *)file;
    const Elf64_Phdr *ph = (const void *)(file + eh->e_phoff);

    for (unsigned i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_INTERP || ph[i].p_type == PT_TLS)
            return image_fail(error, "the runtime ELF is not a static PIE without thread-local storage");
        if (ph[i].p_type != PT_LOAD)
            continue;
        uint64_t start = PAGE_DOWN(ph[i].p_vaddr), end = PAGE_UP(ph[i].p_vaddr + ph[i].p_memsz);
        if (ph[i].p_filesz > ph[i].p_memsz || !in_file(ph[i].p_offset, ph[i].p_filesz, size) ||
            ph[i].p_vaddr > MAX_SPAN || ph[i].p_memsz > MAX_SPAN || start < elf->span || elf->segment_count == 16)
            return image_fail(error, "the runtime ELF is malformed (program header %u)", i);
        elf->segments[elf->segment_count++] = (struct runtime_segment){
            .vaddr = start,
            .length = end - start,
            .secinfo_flags = SGX_SECINFO_REG | (ph[i].p_flags & PF_R ? SGX_SECINFO_R : 0) |
                             (ph[i].p_flags & PF_W ? SGX_SECINFO_R | SGX_SECINFO_W : 0) |
                             (ph[i].p_flags & PF_X ? SGX_SECINFO_R | SGX_SECINFO_X : 0),
        };
        elf->span = end;
    }
    if (!elf->span || eh->e_entry >= elf->span)
        return image_fail(error, "the runtime ELF is malformed (no segments, or its entry lies outside)");
    elf->entry = eh->e_entry;
    return 0;
}

static int find_boot_section(struct runtime_elf *elf, const uint8_t *file, size_t size, struct image_error *error)
{
    const Elf64_Ehdr *eh = (const void *)file;
    const Elf64_Shdr *sh = (const void *)(file + eh->e_shoff), *names = &sh[eh->e_shstrndx];

    if (!in_file(names->sh_offset, names->sh_size, size))
        return image_fail(error, "the runtime ELF is truncated (section names)");
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        const char *name = (const char *)file + names->sh_offset + sh[i].sh_name;
        if (sh[i].sh_name >= names->sh_size || strnlen(name, names->sh_size - sh[i].sh_name) == names->sh_size - sh[i].sh_name ||
            strcmp(name, VIGIL_BOOT_SECTION))
            continue;
        if (sh[i].sh_size < sizeof(struct vigil_boot_info) || sh[i].sh_addr > elf->span - sizeof(struct vigil_boot_info) ||
            sh[i].sh_addr % 8)
            break;
        elf->boot_offset = sh[i].sh_addr;
        return 0;
    }
    return image_fail(error, "the runtime ELF has no %s section: it is not Vigil's", VIGIL_BOOT_SECTION);
}

int runtime_elf_open(struct runtime_elf *elf, const void *file, size_t size, struct image_error *error)
{
    memset(elf, 0, sizeof(*elf));
    if (runtime_elf_check_header(file, size, error) || find_segments(elf, file, size, error) ||
        find_boot_section(elf, file, size, error))
        return -1;
    return 0;
}

static int apply_relocations(struct runtime_elf *elf, const uint8_t *file, size_t size, uint64_t base,
                             struct image_error *error)
{
    const Elf64_Ehdr *eh = (const void *)file;
    const Elf64_Shdr *sh = (const void *)(file + eh->e_shoff);

    for (unsigned i = 0; i < eh->e_shnum; i++) {
        if (sh[i].sh_type == SHT_REL || sh[i].sh_type == SECTION_RELR ||
            (sh[i].sh_type == SHT_RELA && !in_file(sh[i].sh_offset, sh[i].sh_size, size)))
            return image_fail(error, "the runtime ELF is malformed (relocations)"); /* or of a kind not applied here */
        if (sh[i].sh_type != SHT_RELA)
            continue;
        for (uint64_t k = 0; k < sh[i].sh_size / sizeof(Elf64_Rela); k++) {
            Elf64_Rela rela;
            memcpy(&rela, file + sh[i].sh_offset + k * sizeof(rela), sizeof(rela));
            if (ELF64_R_TYPE(rela.r_info) != R_X86_64_RELATIVE || rela.r_offset > elf->span - 8)
                return image_fail(error, "the runtime ELF has a relocation that cannot be applied when it is measured");
            uint64_t value = base + (uint64_t)rela.r_addend;
            memcpy(elf->memory + rela.r_offset, &value, sizeof(value));
        }
    }
    return 0;
}

int runtime_elf_relocate(struct runtime_elf *elf, const void *file, size_t size, uint64_t base,
                         struct image_error *error)
{
    const Elf64_Ehdr *eh = file;
    const Elf64_Phdr *ph = (const void *)((const uint8_t *)file + eh->e_phoff);

    elf->memory = aligned_alloc(VIGIL_PAGE, elf->span);
    if (!elf->memory)
        return image_fail(error, "out of memory for the runtime (%lu bytes)", elf->span);
    memset(elf->memory, 0, elf->span);
    for (unsigned i = 0; i < eh->e_phnum; i++)
        if (ph[i].p_type == PT_LOAD)
            memcpy(elf->memory + ph[i].p_vaddr, (const uint8_t *)file + ph[i].p_offset, ph[i].p_filesz);
    const struct vigil_boot_info *boot = (const void *)(elf->memory + elf->boot_offset);
    if (boot->magic != VIGIL_BOOT_MAGIC)
        return image_fail(error, "the runtime ELF was built for another version of Vigil");
    return apply_relocations(elf, file, size, base, error);
}
