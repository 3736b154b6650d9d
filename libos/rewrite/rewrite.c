/* SPDX-License-Identifier: Apache-2.0
 *
 * Which code has had its SYSCALLs replaced, by which trampolines, and how that ends: when code goes or is about to be
 * changed, it is again what the program knows. An AEX can come anywhere in a trampoline; rewrite_visible() says where
 * the program then is. */
#include "libos/rewrite/rewrite.h"

#include "libos/mm/mm.h"
#include "libos/rewrite/trampoline.h"

struct module {
    struct module *next;
    uint64_t start, end;  /* the code */
    uint64_t low, high;   /* the trampolines' pages */
    uint64_t base;        /* of the slots' numbers */
    uint32_t count, left; /* sites, and those that are not gone */
    struct rewrite_site site[];
};

/* Code as it was loaded. What the program makes itself is left alone: it may well change or copy it. */
struct code {
    struct code *next;
    uint64_t start, end;
};

static lock_t rewrite_lock; /* below it: the address space's */
static struct module *modules;
static struct code *loaded;
static uint32_t sites;

/* Where to go on behind a SYSCALL that is no more. Open addressing; entries come and never go, `to` is 0 when the code
 * is gone. Read without the lock, so a table that was too small is not freed. */
struct moved {
    uint64_t from, to;
};
struct moved_table {
    uint32_t size, count;
    struct moved entry[];
};
static struct moved_table *moved;

static struct moved *moved_find(struct moved_table *table, uint64_t from)
{
    uint32_t i = (uint32_t)((from * 0x9e3779b97f4a7c15ull) >> 40) & (table->size - 1);

    while (table->entry[i].from && table->entry[i].from != from)
        i = (i + 1) & (table->size - 1);
    return &table->entry[i];
}

static bool moved_grow(void)
{
    uint32_t size = moved ? moved->size * 2 : 256;
    struct moved_table *table = kzalloc(sizeof(*table) + size * sizeof(table->entry[0]));

    if (!table)
        return false;
    table->size = size;
    for (uint32_t i = 0; moved && i < moved->size; i++)
        if (moved->entry[i].from)
            *moved_find(table, moved->entry[i].from) = moved->entry[i];
    table->count = moved ? moved->count : 0;
    __atomic_store_n(&moved, table, __ATOMIC_RELEASE);
    return true;
}

static bool moved_add(uint64_t from, uint64_t to)
{
    if ((!moved || moved->count * 2 >= moved->size) && !moved_grow())
        return false;
    struct moved *m = moved_find(moved, from);
    moved->count += !m->from;
    __atomic_store_n(&m->to, to, __ATOMIC_RELAXED);
    __atomic_store_n(&m->from, from, __ATOMIC_RELEASE);
    return true;
}

uint64_t rewrite_resume(uint64_t rip)
{
    struct moved_table *table = __atomic_load_n(&moved, __ATOMIC_ACQUIRE);

    if (!table)
        return rip;
    const struct moved *m = moved_find(table, rip);
    uint64_t to = __atomic_load_n(&m->from, __ATOMIC_ACQUIRE) == rip ? __atomic_load_n(&m->to, __ATOMIC_RELAXED) : 0;
    return to ? to : rip;
}

uint32_t rewrite_sites(void)
{
    return __atomic_load_n(&sites, __ATOMIC_RELAXED);
}

/* ---- code -------------------------------------------------------------------------------------------------------- */
static void jump_in(const struct module *m, const struct rewrite_site *site)
{
    trampoline_jump(m->base, site, (uint8_t *)site_jump(site));
}

static bool trampolines_make(struct module *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        trampoline_make(m->base, &m->site[i]);
    if (mm_protect(m->low, m->high - m->low, PROT_READ | PROT_EXEC))
        return false;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->site[i].form == REWRITE_BEHIND &&
            !moved_add(m->site[i].syscall + 2, trampoline_at(m->base, &m->site[i]) + CONTINUE))
            return false;
    return true;
}

static uint32_t collect(uint64_t start, uint64_t end, struct rewrite_site *out, uint32_t room)
{
    struct rewrite_site site;
    uint64_t at = start;
    uint32_t n = 0;

    while (rewrite_next(start, end, &at, &site)) {
        if (n < room)
            out[n] = site;
        n++;
    }
    return n;
}

/* Pages that no trampoline is in are given back. */
static void trim(struct module *m)
{
    uint64_t low = m->high, high = m->low;

    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t page = page_down(trampoline_at(m->base, &m->site[i]));
        low = page < low ? page : low;
        high = page + VIGIL_PAGE > high ? page + VIGIL_PAGE : high;
    }
    if (m->low < low)
        mm_unmap(m->low, low - m->low);
    if (high < m->high)
        mm_unmap(high, m->high - high);
    m->low = low;
    m->high = high;
}

/* Room for the trampolines, and their places. */
static bool place(struct module *m)
{
    uint32_t slots = trampolines_slots(m->site, m->count);
    long low = mm_map_near(m->start, m->end, (uint64_t)slots * TRAMPOLINE);

    if (low < 0)
        return false;
    m->base = m->low = (uint64_t)low;
    m->high = m->low + (uint64_t)slots * TRAMPOLINE;
    m->count = m->left = trampolines_place(m->base, slots, m->site, m->count);
    if (m->count)
        trim(m);
    if (m->count && !mm_populate(m->low, m->high - m->low))
        return true;
    mm_unmap(m->low, m->high - m->low);
    return false;
}

static struct module *make_module(uint64_t start, uint64_t end)
{
    uint32_t count = collect(start, end, NULL, 0);
    struct module *m = count ? kzalloc(sizeof(*m) + count * sizeof(m->site[0])) : NULL;

    if (!m)
        return NULL;
    *m = (struct module){.start = start, .end = end, .count = count};
    collect(start, end, m->site, count);
    if (place(m))
        return m;
    kfree(m);
    return NULL;
}

static void add_module(struct module *m)
{
    m->next = modules;
    modules = m;
    sites += m->count;
}

static void moved_gone(const struct rewrite_site *site)
{
    if (site->form == REWRITE_BEHIND && moved)
        __atomic_store_n(&moved_find(moved, site->syscall + 2)->to, 0, __ATOMIC_RELAXED);
}

static void discard_module(struct module *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        moved_gone(&m->site[i]);
    mm_unmap(m->low, m->high - m->low);
    kfree(m);
}

static void add_code(uint64_t start, uint64_t end)
{
    struct code *code = kmalloc(sizeof(*code));

    if (!code)
        return;
    *code = (struct code){.next = loaded, .start = start, .end = end};
    loaded = code;
}

void rewrite_code_loaded(uint64_t start, uint64_t end)
{
    if (start_info()->plain)
        return;
    if (edmm_on())
        end = pages_find(start, end, false); /* what is not there has no code */
    if (start >= end)
        return;
    struct module *m = make_module(start, end);
    lock(&rewrite_lock);
    add_code(start, end);
    /* Everything is in place before the first jump is. */
    if (m && trampolines_make(m)) {
        for (uint32_t i = 0; i < m->count; i++)
            jump_in(m, &m->site[i]);
        add_module(m);
        m = NULL;
    }
    unlock(&rewrite_lock);
    if (m)
        discard_module(m);
}

/* ---- one more, when code has been running ------------------------------------------------------------------------ */
/* Code that may be running changes. */
static bool write_code(uint64_t at, const uint8_t bytes[JUMP])
{
    uint64_t page[2] = {page_down(at), page_down(at + JUMP - 1)};
    int pages = page[0] == page[1] ? 1 : 2, access[2];
    bool done = true;

    for (int i = 0; i < pages; i++)
        access[i] = libos_page_access(page[i]);
    for (int i = 0; i < pages; i++)
        done = done && access[i] && !mm_protect(page[i], VIGIL_PAGE, access[i] | PROT_WRITE);
    done = done && !copy_to_user((void *)at, bytes, JUMP);
    for (int i = 0; i < pages; i++)
        if (access[i])
            (void)mm_protect(page[i], VIGIL_PAGE, access[i]);
    return done;
}

bool rewrite_is_loaded(uint64_t start, uint64_t end)
{
    const struct code *code;

    lock(&rewrite_lock);
    for (code = loaded; code && !(code->start <= start && end <= code->end);)
        code = code->next;
    unlock(&rewrite_lock);
    return code;
}

void rewrite_one(const struct rewrite_site *site)
{
    struct module *m = kzalloc(sizeof(*m) + sizeof(m->site[0]));
    uint8_t jump[JUMP];

    if (!m)
        return;
    *m = (struct module){.start = site->syscall, .end = site->syscall + 2 + site->length, .count = 1};
    m->site[0] = *site;
    if (!place(m)) {
        kfree(m);
        return;
    }
    lock(&rewrite_lock);
    trampoline_jump(m->base, &m->site[0], jump);
    if (trampolines_make(m) && write_code(site->syscall, jump)) {
        add_module(m);
        m = NULL;
    }
    unlock(&rewrite_lock);
    if (m)
        discard_module(m);
}

/* ---- the end of it ----------------------------------------------------------------------------------------------- */
/* The site is the SYSCALL it was. False: it cannot be. */
static bool put_back(const struct module *m, const struct rewrite_site *site)
{
    uint8_t jump[JUMP], now[JUMP], original[JUMP];

    trampoline_jump(m->base, site, jump);
    if (copy_from_user(now, (void *)site_jump(site), JUMP) || memcmp(now, jump, JUMP))
        return true; /* somebody has changed it */
    trampoline_original(site, original);
    return write_code(site_jump(site), original);
}

static bool overlap(uint64_t start, uint64_t end, uint64_t from, uint64_t to)
{
    return from < end && start < to;
}

static void undo_sites(struct module *m, uint64_t start, uint64_t end, bool restore)
{
    bool all = overlap(start, end, m->low, m->high);

    for (uint32_t i = 0; i < m->count; i++) {
        struct rewrite_site *site = &m->site[i];
        uint64_t at = site_jump(site);
        if (site->gone || !(all || overlap(start, end, at, site_end(site))))
            continue;
        if ((restore || at < start || at + JUMP > end) && !put_back(m, site))
            continue;
        moved_gone(site);
        site->gone = true;
        m->left--;
        sites--;
    }
}

static void cut_code(uint64_t start, uint64_t end)
{
    for (struct code **link = &loaded; *link;) {
        struct code *code = *link;
        if (!overlap(start, end, code->start, code->end)) {
            link = &code->next;
        } else if (code->start < start) {
            if (end < code->end)
                add_code(end, code->end);
            code->end = start;
        } else if (end < code->end) {
            code->start = end;
        } else {
            *link = code->next;
            kfree(code);
        }
    }
}

/* Trampolines that another thread could be in stay. */
static void undo(uint64_t start, uint64_t end, bool restore)
{
    struct module *gone = NULL, *m;

    if (!__atomic_load_n(&modules, __ATOMIC_RELAXED) && !__atomic_load_n(&loaded, __ATOMIC_RELAXED))
        return;
    lock(&rewrite_lock);
    cut_code(start, end);
    for (struct module **link = &modules; (m = *link);) {
        if (overlap(start, end, m->start, m->end) || overlap(start, end, m->low, m->high))
            undo_sites(m, start, end, restore);
        if (m->left) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        m->next = gone;
        gone = m;
    }
    unlock(&rewrite_lock);
    while ((m = gone)) {
        gone = m->next;
        if (threads_count() <= 1 || (!restore && start <= m->start && m->end <= end))
            mm_unmap(m->low, m->high - m->low);
        kfree(m);
    }
}

void rewrite_code_gone(uint64_t start, uint64_t end)
{
    undo(start, end, false);
}

void rewrite_code_changes(uint64_t start, uint64_t end)
{
    undo(start, end, true);
}

/* ---- where the program is ---------------------------------------------------------------------------------------- */
static uint64_t visible(const struct module *m, uint64_t rip)
{
    uint64_t slot = (rip - m->base) / TRAMPOLINE, offset = (rip - m->base) % TRAMPOLINE;
    const struct rewrite_site *site = m->site, *end = m->site + m->count;

    while (site < end && site->slot != slot)
        site++;
    if (site == end)
        return rip;
    if (site->form == REWRITE_BEFORE)
        return site->syscall - site->length + (offset < site->length ? offset : site->length);
    if (offset < CONTINUE)
        return site->syscall;
    offset -= CONTINUE;
    return site->syscall + 2 + (offset < site->length ? offset : site->length);
}

uint64_t rewrite_visible(uint64_t rip)
{
    if (!__atomic_load_n(&modules, __ATOMIC_RELAXED))
        return rip;
    lock(&rewrite_lock);
    for (const struct module *m = modules; m; m = m->next)
        if (rip - m->low < m->high - m->low) {
            rip = visible(m, rip);
            break;
        }
    unlock(&rewrite_lock);
    return rip;
}
