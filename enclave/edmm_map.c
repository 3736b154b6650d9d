/* SPDX-License-Identifier: Apache-2.0
 *
 * Which pages of application memory are there, and making it so: a bitmap over application memory, itself dynamic (its
 * pages are listed in a fixed, smaller one). Its bits are read without a lock (copies look before they leap) and written
 * by the LibOS under its lock on the address space. */
#include "enclave/edmm.h"

#define RW (LINUX_PROT_READ | LINUX_PROT_WRITE)
#define BITS_PER_PAGE (VIGIL_PAGE * 8ull)
#define MAP_PAGES_MAX ((1ull << 40) / VIGIL_PAGE / BITS_PER_PAGE)

static uint64_t app_start, app_end;
static uint64_t *map;                         /* one bit for each page of application memory */
static uint64_t map_ready[MAP_PAGES_MAX / 64]; /* one bit for each page of the map */
static uint64_t count_now, count_most, count_start, count_added, count_removed;

bool edmm_on(void)
{
    return map;
}

/* Takes the map's room from the end of application memory. */
void edmm_init(uint64_t start, uint64_t *end)
{
    uint64_t pages = (*end - start) / VIGIL_PAGE, bytes = (pages / 8 + VIGIL_PAGE) & ~(uint64_t)(VIGIL_PAGE - 1);

    app_start = start;
    *end -= bytes;
    app_end = *end;
    map = (uint64_t *)app_end;
}

/* ---- statistics ---- */
void edmm_count(int64_t pages)
{
    uint64_t now = __atomic_add_fetch(&count_now, (uint64_t)pages, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&count_most, __ATOMIC_RELAXED);

    __atomic_add_fetch(pages > 0 ? &count_added : &count_removed, (uint64_t)(pages > 0 ? pages : -pages), __ATOMIC_RELAXED);
    while (now > most && !__atomic_compare_exchange_n(&count_most, &most, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

void edmm_count_start(void)
{
    count_start = count_now;
}

void edmm_print_stats(void)
{
    log_line(VIGIL_LOG_ERROR, "stats: memory: pages committed %lu at start, %lu at most, %lu at exit; added %lu, removed %lu",
             count_start, count_most, count_now, count_added, count_removed);
}

/* ---- the bits ---- */
static inline uint64_t index_of(uint64_t address)
{
    return (address - app_start) / VIGIL_PAGE;
}

static inline bool ready(uint64_t index)
{
    uint64_t page = index / BITS_PER_PAGE;
    return __atomic_load_n(&map_ready[page / 64], __ATOMIC_ACQUIRE) >> page % 64 & 1;
}

bool page_present(uint64_t address)
{
    uint64_t index = index_of(address);
    return ready(index) && (__atomic_load_n(&map[index / 64], __ATOMIC_RELAXED) >> index % 64 & 1);
}

bool pages_present(const void *p, size_t n)
{
    uint64_t first = (uint64_t)p & ~(uint64_t)(VIGIL_PAGE - 1), end = (uint64_t)p + n;

    for (uint64_t page = first; page < end; page += VIGIL_PAGE)
        if (!page_present(page))
            return false;
    return true;
}

static void set_bit(uint64_t address)
{
    uint64_t index = index_of(address);
    __atomic_fetch_or(&map[index / 64], 1ull << index % 64, __ATOMIC_RELEASE);
}

static void clear_bit(uint64_t address)
{
    uint64_t index = index_of(address);
    __atomic_fetch_and(&map[index / 64], ~(1ull << index % 64), __ATOMIC_RELEASE);
}

/* The page of the map that holds this page's bit. */
static int make_ready(uint64_t address)
{
    uint64_t page = index_of(address) / BITS_PER_PAGE, at = (uint64_t)map + page * VIGIL_PAGE;

    if (ready(index_of(address)))
        return 0;
    if (edmm_add_runtime(at, at + VIGIL_PAGE))
        return -LINUX_ENOMEM;
    __atomic_fetch_or(&map_ready[page / 64], 1ull << page % 64, __ATOMIC_RELEASE);
    return 0;
}

/* The first page at or behind `at` whose presence is `present`; end if there is none. Skips words, and pages of the map
 * that are not there, whole. */
static uint64_t find(uint64_t at, uint64_t end, bool present)
{
    while (at < end) {
        uint64_t index = index_of(at);
        if (!ready(index)) {
            if (!present)
                return at;
            at += (BITS_PER_PAGE - index % BITS_PER_PAGE) * VIGIL_PAGE;
            continue;
        }
        uint64_t word = __atomic_load_n(&map[index / 64], __ATOMIC_RELAXED);
        word = (present ? word : ~word) >> index % 64;
        if (word) {
            at += (uint64_t)__builtin_ctzll(word) * VIGIL_PAGE;
            return at < end ? at : end;
        }
        at += (64 - index % 64) * VIGIL_PAGE;
    }
    return end;
}

uint64_t pages_find(uint64_t at, uint64_t end, bool present)
{
    return find(at, end, present);
}

/* The next ranges of [*at, end) with this presence, as many as one OCALL takes. */
static void gather(uint64_t *at, uint64_t end, bool present, struct edmm_ranges *ranges)
{
    ranges->count = 0;
    while (*at < end && ranges->count < VIGIL_MEMORY_RANGES) {
        uint64_t from = find(*at, end, present), to = find(from, end, !present);
        if (from < end)
            ranges->range[ranges->count++] = (struct vigil_range){from, to - from};
        *at = to;
    }
}

#define FOR_EACH_PAGE(page, ranges) \
    for (uint32_t i_ = 0; i_ < (ranges)->count; i_++) \
        for (uint64_t page = (ranges)->range[i_].address, e_ = page + (ranges)->range[i_].length; page < e_; page += VIGIL_PAGE)

/* ---- rights ---- */
static int restrict_to(const struct edmm_ranges *ranges, int prot)
{
    int error = 0;

    (void)edmm_ask(VIGIL_MEMORY_RESTRICT, (uint32_t)prot, ranges);
    FOR_EACH_PAGE(page, ranges)
        if (edmm_accept_rights(page, prot))
            error = -LINUX_ENOMEM;
    return error;
}

static int set_rights(const struct edmm_ranges *ranges, int from, int to)
{
    if (from & ~to && restrict_to(ranges, from & to))
        return -LINUX_ENOMEM;
    if (!(to & ~from))
        return 0;
    FOR_EACH_PAGE(page, ranges)
        if (edmm_extend(page, to))
            return -LINUX_ENOMEM;
    return 0;
}

int pages_protect(uint64_t start, uint64_t end, int from, int to)
{
    struct edmm_ranges ranges;

    while (from != to && start < end) {
        gather(&start, end, true, &ranges);
        if (set_rights(&ranges, from, to))
            return -LINUX_ENOMEM;
    }
    return 0;
}

/* ---- more and fewer pages ---- */
#define TRIM_TRIES 3

/* A page that was given back and can still be accessed would be found, with all it holds, in the next mapping there: a host
 * that does not trim what it is asked to trim ends the enclave. */
static void trim(const struct edmm_ranges *ranges)
{
    FOR_EACH_PAGE(page, ranges)
        clear_bit(page);
    (void)edmm_ask(VIGIL_MEMORY_TRIM, 0, ranges);
    FOR_EACH_PAGE(page, ranges) {
        struct edmm_ranges one = {.count = 1, .range = {{page, VIGIL_PAGE}}};
        for (unsigned tries = 1; edmm_accept_trim(page); tries++) {
            if (tries == TRIM_TRIES) {
                log_line(VIGIL_LOG_ERROR, "page 0x%lx was to be removed from the enclave", page);
                runtime_fail("the host did not trim a page that the enclave gave back: without that it cannot go on safely");
            }
            (void)edmm_ask(VIGIL_MEMORY_TRIM, 0, &one);
        }
        edmm_count(-1);
    }
    (void)edmm_ask(VIGIL_MEMORY_REMOVE, 0, ranges);
}

int pages_trim(uint64_t start, uint64_t end)
{
    struct edmm_ranges ranges;

    while (start < end) {
        gather(&start, end, true, &ranges);
        trim(&ranges);
    }
    return 0;
}

static int accept_all(const struct edmm_ranges *ranges)
{
    FOR_EACH_PAGE(page, ranges) {
        if (edmm_accept_new(page))
            return -LINUX_ENOMEM;
        edmm_count(1);
        set_bit(page);
    }
    return 0;
}

/* Pages come readable and writable. If they cannot be made what they are to be, they go again: a page with more rights than
 * its mapping must not stay. */
static int commit(const struct edmm_ranges *ranges, int prot, bool asked)
{
    FOR_EACH_PAGE(page, ranges)
        if (make_ready(page))
            return -LINUX_ENOMEM;
    if (!asked)
        (void)edmm_ask(VIGIL_MEMORY_ADD, 0, ranges);
    int error = accept_all(ranges);
    if (!error)
        error = set_rights(ranges, RW, prot);
    for (uint32_t i = 0; error && prot != RW && i < ranges->count; i++)
        (void)pages_trim(ranges->range[i].address, ranges->range[i].address + ranges->range[i].length);
    return error;
}

int pages_commit(uint64_t start, uint64_t end, int prot, bool faulted)
{
    struct edmm_ranges ranges;
    bool asked = faulted && end - start == VIGIL_PAGE; /* the kernel has added it already */

    while (start < end) {
        gather(&start, end, false, &ranges);
        if (commit(&ranges, prot, asked))
            return -LINUX_ENOMEM;
    }
    return 0;
}

/* The program touched a page it does not have, and the kernel has added one there: it goes back. */
void page_discard(uint64_t address)
{
    struct edmm_ranges ranges = {.count = 1, .range = {{address & ~(uint64_t)(VIGIL_PAGE - 1), VIGIL_PAGE}}};
    uint64_t page = ranges.range[0].address;

    if (page < app_start || page >= app_end || make_ready(page) || page_present(page) || edmm_accept_new(page))
        return;
    edmm_count(1);
    trim(&ranges);
}
