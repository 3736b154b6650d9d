/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/self/maps and smaps, from the LibOS's areas. An area has its file's name and offset where mm/ keeps them
 * (struct mm_area's name and offset); the others are named by what they are. The LibOS's own memory does not show. */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/mm/mm.h"
#include "libos/mm/vma.h"
#include "libos/process/process.h"
#include "libos/vdso/map.h"

#define NAME_COLUMN 73

static const char *area_name(const struct mm_area *a)
{
    uint64_t stack = process_image()->stack;

    if (a->name)
        return a->name;
    if (stack >= a->start && stack < a->end)
        return "[stack]";
    if (vdso_address() >= a->start && vdso_address() < a->end)
        return "[vdso]";
    return a->heap ? "[heap]" : NULL;
}

/* Device and inode of a mapped file, as stat says them. */
static void identify(const char *name, uint32_t *major, uint32_t *minor, uint64_t *ino)
{
    struct path *path;
    struct stat stat;

    *major = *minor = 0;
    *ino = 0;
    if (!name || path_from_string(&path, AT_FDCWD, name, 0))
        return;
    if (!stat_path(path, &stat, true)) {
        *major = (uint32_t)(stat.st_dev >> 8 & 0xfff);
        *minor = (uint32_t)((stat.st_dev & 0xff) | (stat.st_dev >> 12 & 0xfff00));
        *ino = stat.st_ino;
    }
    path_free(path);
}

static void show_area(const struct mm_area *a, struct text *text)
{
    const char *name = area_name(a);
    uint32_t major, minor;
    uint64_t ino;
    size_t start = text->used;

    identify(a->name, &major, &minor, &ino);
    text_add(text, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)a->start, (unsigned long)a->end,
             a->prot & PROT_READ ? 'r' : '-', a->prot & PROT_WRITE ? 'w' : '-', a->prot & PROT_EXEC ? 'x' : '-',
             a->flags & VMA_SHARED ? 's' : 'p', (unsigned long)(a->name ? a->offset : 0), major, minor,
             (unsigned long)ino);
    if (name) {
        while (!text->failed && text->used - start < NAME_COLUMN)
            text_bytes(text, " ", 1);
        text_name(text, name);
    }
    text_bytes(text, "\n", 1);
}

static void show_usage(const struct mm_area *a, struct text *text)
{
    uint64_t size = (a->end - a->start) >> 10, there = a->present >> 10;
    bool writable = a->prot & PROT_WRITE;

    text_add(
        text,
        "Size:           %8lu kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:            %8lu kB\n"
        "Pss:            %8lu kB\n",
        (unsigned long)size, (unsigned long)there, (unsigned long)there);
    text_add(
        text,
        "Shared_Clean:          0 kB\nShared_Dirty:          0 kB\nPrivate_Clean:  %8lu kB\nPrivate_Dirty:  %8lu kB\n",
        (unsigned long)(writable ? 0 : there), (unsigned long)(writable ? there : 0));
    text_add(
        text,
        "Referenced:     %8lu kB\nAnonymous:      %8lu kB\nSwap:                  0 kB\nSwapPss:               0 kB\n"
        "Locked:                0 kB\n",
        (unsigned long)there, (unsigned long)(a->name ? 0 : there));
}

static void show_vm_flags(const struct mm_area *a, struct text *text)
{
    text_add(text, "VmFlags:%s%s%s%s mr mw me\n", a->prot & PROT_READ ? " rd" : "", a->prot & PROT_WRITE ? " wr" : "",
             a->prot & PROT_EXEC ? " ex" : "", a->flags & VMA_SHARED ? " sh" : "");
}

/* An area without a file may be the program's, or begin with a part of it: only that, or what is before it. */
static void cut(struct mm_area *a, const struct program_map *map)
{
    const struct program_segment *s = a->name ? NULL : program_segment(map, a->start, a->end);
    uint64_t whole = a->end - a->start;

    if (!s)
        return;
    if (s->start > a->start) {
        a->end = s->start;
    } else {
        size_t n = strlen(s->name) + 1;
        a->name = kmalloc(n);
        if (a->name)
            memcpy(a->name, s->name, n);
        a->offset = s->offset + (a->start - s->start);
        const struct program_segment *next = program_segment(map, a->start + VIGIL_PAGE, a->end);
        if (s->end < a->end)
            a->end = s->end;
        if (next && next != s && next->start < a->end && next->start > a->start)
            a->end = next->start;
    }
    if (a->present == whole || a->present > a->end - a->start)
        a->present = a->end - a->start;
}

static long show_areas(struct text *text, bool usage)
{
    struct program_map *map = program_map();
    struct mm_area area;

    for (uint64_t at = 0; !text->failed && mm_next_area(at, &area); at = area.end) {
        cut(&area, map);
        show_area(&area, text);
        if (usage) {
            show_usage(&area, text);
            show_vm_flags(&area, text);
        }
        kfree(area.name);
    }
    kfree(map);
    return 0;
}

long show_maps(const struct pseudo_at *at, struct text *text)
{
    (void)at;
    return show_areas(text, false);
}

long show_smaps(const struct pseudo_at *at, struct text *text)
{
    (void)at;
    return show_areas(text, true);
}

/* All areas as one. */
long show_smaps_rollup(const struct pseudo_at *at, struct text *text)
{
    struct mm_area area, all = {0};

    (void)at;
    for (uint64_t from = 0; mm_next_area(from, &area); from = area.end) {
        if (!all.end)
            all.start = area.start;
        all.end = area.end;
        all.present += area.present;
        kfree(area.name);
    }
    all.prot = PROT_WRITE;
    text_add(text, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n", (unsigned long)all.start,
             (unsigned long)all.end);
    all.end = all.start; /* a sum has no size */
    show_usage(&all, text);
    return 0;
}
