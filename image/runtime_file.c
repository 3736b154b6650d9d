/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the runtime's file. Three quarters of it are for debuggers, and who only starts an enclave need not read them. */
#include "image/internal.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_part(int fd, uint8_t *data, size_t size, uint64_t offset, uint64_t length)
{
    if (offset > size || length > size - offset)
        return false;
    while (length) {
        ssize_t n = pread(fd, data + offset, length, (off_t)offset);
        if (n <= 0)
            return false;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return true;
}

/* Headers, segments, section headers and their names, where the headers say that they are. Whether they make sense is for
 * runtime_elf.c to look at, which reads nothing else. */
static bool read_loaded(int fd, uint8_t *data, size_t size)
{
    const Elf64_Ehdr *eh = (const void *)data;
    uint64_t end = 0;

    if (!read_part(fd, data, size, 0, sizeof(*eh)) || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_phoff % 8 ||
        eh->e_shoff % 8 || eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_shentsize != sizeof(Elf64_Shdr) ||
        eh->e_shstrndx >= eh->e_shnum ||
        !read_part(fd, data, size, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr)) ||
        !read_part(fd, data, size, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr)))
        return false;
    const Elf64_Phdr *ph = (const void *)(data + eh->e_phoff);
    const Elf64_Shdr *sh = (const void *)(data + eh->e_shoff);
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        uint64_t last = ph[i].p_offset + ph[i].p_filesz;
        if (ph[i].p_type == PT_LOAD && last > end)
            end = last;
    }
    for (unsigned i = 0; i < eh->e_shnum; i++)
        if (sh[i].sh_type == SHT_RELA && !read_part(fd, data, size, sh[i].sh_offset, sh[i].sh_size))
            return false;
    return read_part(fd, data, size, 0, end) &&
           read_part(fd, data, size, sh[eh->e_shstrndx].sh_offset, sh[eh->e_shstrndx].sh_size);
}

void *image_read_runtime(int fd, bool whole, size_t *size)
{
    off_t length = lseek(fd, 0, SEEK_END);
    uint8_t *data = length < 0 ? NULL : calloc(1, (size_t)length + 1);

    if (!data)
        return NULL;
    *size = (size_t)length;
    /* Of an odd file everything is read, for the message about it. */
    if ((!whole && read_loaded(fd, data, *size)) || read_part(fd, data, *size, 0, *size))
        return data;
    free(data);
    return NULL;
}
