/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the runtime's file. Three quarters of it are for debuggers, and who only starts an enclave need not read them. */
#include "image/internal.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_part(int fd, uint8_t *data, size_t size, uint64_t offset, uint64_t length)
{
    if (offset > size || length > size - offset)
        return false;
    while (length) {
        ssize_t n = pread(fd, data + offset, length, (off_t)offset);
        if (n <= 0) {
            errno = n ? errno : EIO; /* it has become shorter */
            return false;
        }
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
    struct image_error unsaid;
    uint64_t end = 0;

    if (!read_part(fd, data, size, 0, sizeof(*eh)) || runtime_elf_check_header(data, size, &unsaid) ||
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
    struct stat st;

    if (fstat(fd, &st))
        return NULL;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return NULL;
    }
    uint8_t *data = calloc(1, (size_t)st.st_size + 1);
    if (!data)
        return NULL;
    *size = (size_t)st.st_size;
    /* Of an odd file everything is read, for the message about it. */
    if ((!whole && read_loaded(fd, data, *size)) || read_part(fd, data, *size, 0, *size))
        return data;
    free(data);
    return NULL;
}
