/* SPDX-License-Identifier: Apache-2.0
 *
 * /sys: processors, one memory node, and that there are no huge pages. Nothing of the host's. */
#include "libos/fs/pseudo/pseudo.h"

/* ---- processors -------------------------------------------------------------------------------------------------- */
enum list { LIST, MASK, LAST };

static long show_processors(struct text *text, enum list how)
{
    struct processors *p = kmalloc(sizeof(*p));

    if (!p)
        return -ENOMEM;
    system_processors(p);
    if (how == LIST)
        text_list(text, p->mask, p->last + 1);
    else if (how == MASK)
        text_mask(text, p->mask, p->last + 1);
    else
        text_add(text, "%u", p->last);
    text_bytes(text, "\n", 1);
    kfree(p);
    return 0;
}

#define PROCESSOR_FILE(function, how) \
    static long function(const struct pseudo_at *at, struct text *text) \
    { \
        (void)at; \
        return show_processors(text, how); \
    }
PROCESSOR_FILE(show_list, LIST)
PROCESSOR_FILE(show_mask, MASK)
PROCESSOR_FILE(show_last, LAST)

static bool has_processor(uint32_t number)
{
    struct processors *p = kmalloc(sizeof(*p));
    bool found = false;

    if (p) {
        system_processors(p);
        found = number < PROCESSORS_MAX && p->mask[number / 64] >> number % 64 & 1;
    }
    kfree(p);
    return found;
}

static bool find_processor(struct pseudo_at *at, const char *name)
{
    uint32_t number;

    if (strncmp(name, "cpu", 3) || !pseudo_number(name + 3, &number) || !has_processor(number))
        return false;
    at->number = (int)number;
    return true;
}

static bool next_processor(const struct pseudo_at *at, int64_t *position, char name[32])
{
    struct processors *p = kmalloc(sizeof(*p));
    int64_t i = *position;

    (void)at;
    if (!p)
        return false;
    system_processors(p);
    while (i <= p->last && !(p->mask[i / 64] >> i % 64 & 1))
        i++;
    bool found = i <= p->last;
    kfree(p);
    *position = i;
    return found && format(name, 32, "cpu%d", (int)i) > 0;
}

/* A processor is a core of its own. */
static long show_own_number(const struct pseudo_at *at, struct text *text)
{
    text_add(text, "%d\n", at->number);
    return 0;
}

static long show_own_mask(const struct pseudo_at *at, struct text *text)
{
    uint64_t mask[PROCESSORS_MAX / 64] = {0};

    mask[at->number / 64] = 1ull << at->number % 64;
    text_mask(text, mask, (uint32_t)at->number + 1);
    text_bytes(text, "\n", 1);
    return 0;
}

static const struct pseudo_entry topology[] = {
    PSEUDO_TEXT("core_id", show_own_number),
    PSEUDO_FIXED("physical_package_id", "0\n"),
    PSEUDO_FIXED("die_id", "0\n"),
    PSEUDO_TEXT("core_siblings", show_mask),
    PSEUDO_TEXT("core_siblings_list", show_list),
    PSEUDO_TEXT("package_cpus", show_mask),
    PSEUDO_TEXT("package_cpus_list", show_list),
    PSEUDO_TEXT("thread_siblings", show_own_mask),
    PSEUDO_TEXT("thread_siblings_list", show_own_number),
    PSEUDO_TEXT("core_cpus", show_own_mask),
    PSEUDO_TEXT("core_cpus_list", show_own_number),
    {0},
};
static const struct pseudo_entry processor_files[] = {
    PSEUDO_FIXED("online", "1\n"),
    PSEUDO_DIR("topology", topology),
    {0},
};
static const struct pseudo_entry processor = {.mode = S_IFDIR | 0555, .children = processor_files};
static const struct pseudo_each each_processor = {&processor, find_processor, next_processor};
static const struct pseudo_entry cpu_files[] = {
    PSEUDO_TEXT("online", show_list),
    PSEUDO_TEXT("possible", show_list),
    PSEUDO_TEXT("present", show_list),
    PSEUDO_FIXED("offline", "\n"),
    PSEUDO_FIXED("isolated", "\n"),
    PSEUDO_TEXT("kernel_max", show_last),
    {0},
};

/* ---- one memory node --------------------------------------------------------------------------------------------- */
static long show_node_memory(const struct pseudo_at *at, struct text *text)
{
    struct memory m = system_memory();

    (void)at;
    text_add(text, "Node 0 MemTotal: %8lu kB\nNode 0 MemFree: %8lu kB\nNode 0 MemUsed: %8lu kB\n",
             (unsigned long)(m.total >> 10), (unsigned long)(m.free >> 10), (unsigned long)((m.total - m.free) >> 10));
    return 0;
}

static const struct pseudo_entry node0_files[] = {
    PSEUDO_TEXT("cpulist", show_list),
    PSEUDO_TEXT("cpumap", show_mask),
    PSEUDO_TEXT("meminfo", show_node_memory),
    PSEUDO_FIXED("distance", "10\n"),
    {0},
};
static const struct pseudo_entry node_files[] = {
    PSEUDO_FIXED("online", "0\n"),
    PSEUDO_FIXED("possible", "0\n"),
    PSEUDO_FIXED("has_cpu", "0\n"),
    PSEUDO_FIXED("has_memory", "0\n"),
    PSEUDO_FIXED("has_normal_memory", "0\n"),
    PSEUDO_DIR("node0", node0_files),
    {0},
};

/* ---- the tree ---------------------------------------------------------------------------------------------------- */
static const struct pseudo_entry system_files[] = {
    {.name = "cpu", .mode = S_IFDIR | 0555, .children = cpu_files, .each = &each_processor},
    PSEUDO_DIR("node", node_files),
    {0},
};
static const struct pseudo_entry devices[] = {
    PSEUDO_DIR("system", system_files),
    {0},
};
static const struct pseudo_entry huge_pages[] = {
    PSEUDO_FIXED("enabled", "always madvise [never]\n"),
    PSEUDO_FIXED("defrag", "always defer defer+madvise madvise [never]\n"),
    PSEUDO_FIXED("shmem_enabled", "always within_size advise [never] deny force\n"),
    {0},
};
static const struct pseudo_entry kernel_mm[] = {
    PSEUDO_DIR("transparent_hugepage", huge_pages),
    {0},
};
static const struct pseudo_entry kernel[] = {
    PSEUDO_DIR("mm", kernel_mm),
    {0},
};
static const struct pseudo_entry sys[] = {
    PSEUDO_DIR("devices", devices),
    PSEUDO_DIR("kernel", kernel),
    {0},
};

const struct pseudo_entry sys_root = PSEUDO_DIR("sys", sys);
