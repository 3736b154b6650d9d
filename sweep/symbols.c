/* SPDX-License-Identifier: Apache-2.0
 *
 * The symbol table of an ELF file in memory. The file may be anything: every offset is checked. */
#include "sweep/sweep.h"

#include <elf.h>
#include <string.h>

struct table { const Elf64_Sym *sym; size_t count; const char *strings; size_t strings_size; };

static bool find_table(const void *elf, size_t size, struct table *t)
{
    const Elf64_Ehdr *eh = elf;

    if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_shentsize != sizeof(Elf64_Shdr) ||
        eh->e_shoff > size || eh->e_shnum > (size - eh->e_shoff) / sizeof(Elf64_Shdr) || eh->e_shoff % 8)
        return false;
    const Elf64_Shdr *sh = (const void *)((const char *)elf + eh->e_shoff);
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        const Elf64_Shdr *names = sh[i].sh_link < eh->e_shnum ? &sh[sh[i].sh_link] : NULL;
        if (sh[i].sh_type != SHT_SYMTAB || !names || sh[i].sh_offset % 8 || sh[i].sh_offset > size ||
            sh[i].sh_size > size - sh[i].sh_offset || names->sh_offset > size || !names->sh_size ||
            names->sh_size > size - names->sh_offset)
            continue;
        t->sym = (const void *)((const char *)elf + sh[i].sh_offset);
        t->count = sh[i].sh_size / sizeof(*t->sym);
        t->strings = (const char *)elf + names->sh_offset;
        t->strings_size = names->sh_size;
        return t->strings[t->strings_size - 1] == 0;
    }
    return false;
}

/* NULL for what names no place: undefined symbols, files, sections, thread-local offsets. */
static const char *name_of(const struct table *t, const Elf64_Sym *sym)
{
    unsigned type = ELF64_ST_TYPE(sym->st_info);

    if (sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS || sym->st_name >= t->strings_size ||
        (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE))
        return NULL;
    return t->strings[sym->st_name] ? t->strings + sym->st_name : NULL;
}

bool sweep_symbol(const void *elf, size_t size, const char *name, uint64_t *value)
{
    struct table t;

    if (!find_table(elf, size, &t))
        return false;
    for (size_t i = 0; i < t.count; i++) {
        const char *known = name_of(&t, &t.sym[i]);
        if (known && !strcmp(known, name)) {
            *value = t.sym[i].st_value;
            return true;
        }
    }
    return false;
}

#define LONGEST 48

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance of the names' first LONGEST characters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[LONGEST + 1], na = (unsigned)strnlen(a, LONGEST), nb = (unsigned)strnlen(b, LONGEST);

    for (unsigned j = 0; j <= nb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= nb; j++) {
            unsigned above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[nb];
}

const char *sweep_nearest_symbol(const void *elf, size_t size, const char *name)
{
    const char *best = NULL;
    unsigned least_distance = ~0u;
    struct table t;

    if (!find_table(elf, size, &t))
        return NULL;
    for (size_t i = 0; i < t.count; i++) {
        const char *known = name_of(&t, &t.sym[i]);
        unsigned d = known ? distance(known, name) : ~0u;
        if (d < least_distance) {
            best = known;
            least_distance = d;
        }
    }
    return best;
}

const char *sweep_symbol_before(const void *elf, size_t size, uint64_t address, uint64_t *offset)
{
    const char *best = NULL;
    uint64_t value = 0;
    struct table t;

    if (!find_table(elf, size, &t))
        return NULL;
    for (size_t i = 0; i < t.count; i++) {
        const char *known = name_of(&t, &t.sym[i]);
        if (known && t.sym[i].st_value <= address && (!best || t.sym[i].st_value > value)) {
            best = known;
            value = t.sym[i].st_value;
        }
    }
    *offset = address - value;
    return best;
}
