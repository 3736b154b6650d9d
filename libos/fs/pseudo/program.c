/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the program's own file and its dynamic loader lie: the loader copies them into anonymous memory, Linux maps
 * them. Their program headers, which the auxiliary vector names, say which addresses came from which part of the file.
 */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/process/process.h"

#include <linux/auxvec.h>
#include <linux/elf.h>

#define HEADERS_MAX 64

static uint64_t aux(uint64_t type)
{
    const struct process_image *image = process_image();

    for (uint32_t i = 0; i + 1 < image->auxv_size / 8; i += 2)
        if (image->auxv[i] == type)
            return image->auxv[i + 1];
    return 0;
}

static uint64_t page_down(uint64_t x)
{
    return x & ~(uint64_t)(VIGIL_PAGE - 1);
}

static void add_file(struct program_map *map, const char *name, const struct elf64_phdr *headers, uint32_t count,
                     uint64_t bias)
{
    for (uint32_t i = 0; i < count && map->count < PROGRAM_SEGMENTS; i++) {
        const struct elf64_phdr *h = &headers[i];
        if (h->p_type != PT_LOAD || !h->p_filesz)
            continue;
        uint64_t start = page_down(h->p_vaddr + bias);
        map->segment[map->count++] = (struct program_segment){
            .start = start,
            .end = page_down(h->p_vaddr + bias + h->p_filesz + VIGIL_PAGE - 1),
            .offset = page_down(h->p_offset),
            .name = name,
        };
    }
}

/* How far from its own addresses the program lies. The table follows the ELF header, as linkers have it. */
static uint64_t bias_of(const struct elf64_phdr *headers, uint32_t count, uint64_t table)
{
    for (uint32_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_PHDR)
            return table - headers[i].p_vaddr;
    for (uint32_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_LOAD && !headers[i].p_offset)
            return table - sizeof(struct elf64_hdr) - headers[i].p_vaddr;
    return 0;
}

static void add_loader(struct program_map *map, struct elf64_phdr *headers)
{
    uint64_t base = aux(AT_BASE);
    struct elf64_hdr header;

    if (!base || !map->loader[0] || copy_from_user(&header, (void *)base, sizeof(header)) ||
        header.e_phnum > HEADERS_MAX || header.e_phentsize != sizeof(*headers) ||
        copy_from_user(headers, (void *)(base + header.e_phoff), header.e_phnum * sizeof(*headers)))
        return;
    add_file(map, map->loader, headers, header.e_phnum, base);
}

struct program_map *program_map(void)
{
    struct program_map *map = kzalloc(sizeof(*map));
    struct elf64_phdr *headers = kmalloc(HEADERS_MAX * sizeof(*headers));
    uint64_t table = aux(AT_PHDR), count = aux(AT_PHNUM);

    if (map && headers && table && count && count <= HEADERS_MAX &&
        !copy_from_user(headers, (void *)table, count * sizeof(*headers))) {
        uint64_t bias = bias_of(headers, (uint32_t)count, table);
        add_file(map, process_exe(), headers, (uint32_t)count, bias);
        for (uint32_t i = 0; i < count; i++)
            if (headers[i].p_type == PT_INTERP &&
                strncpy_from_user(map->loader, (void *)(headers[i].p_vaddr + bias), sizeof(map->loader)) < 0)
                map->loader[0] = 0;
        add_loader(map, headers);
    }
    kfree(headers);
    return map;
}

const struct program_segment *program_segment(const struct program_map *map, uint64_t start, uint64_t end)
{
    const struct program_segment *first = NULL;

    for (uint32_t i = 0; map && i < map->count; i++) {
        const struct program_segment *s = &map->segment[i];
        /* Where two share a page it is the later one's. */
        if (s->end > start && s->start < end && (!first || s->start < first->start || s->start <= start))
            first = s;
    }
    return first;
}
