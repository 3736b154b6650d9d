/* SPDX-License-Identifier: Apache-2.0
 *
 * Trampolines, and who knows what about them. A trampoline is one of
 *
 *   before                                    behind
 *    0  mov $nr,%eax                           0  lea behind_syscall(%rip),%rcx
 *    5  lea behind_syscall(%rip),%rcx          7  jmp *gate(%rip)
 *   12  jmp *gate(%rip)                       13  what was behind it: cmp $imm,%rax
 *                                             ..  jmp behind that
 *
 * An AEX can come between any two of these; rewrite_visible() says where the program then is. */
#include "libos/rewrite/rewrite.h"

#include "libos/mm/mm.h"

#define TRAMPOLINE 32
#define FIRST 32                 /* of the page: the gate's address is in front */
#define CONTINUE 13              /* where the moved instructions are in it */
_Static_assert(CONTINUE + REWRITE_MOVED + 5 <= TRAMPOLINE, "trampoline");

struct module {
    struct module *next;
    uint64_t start, end;         /* the code */
    uint64_t low, high;          /* the trampolines */
    uint32_t count;
    struct rewrite_site site[];  /* in the order of the trampolines */
};

static lock_t rewrite_lock;      /* below it: the address space's */
static struct module *modules;
static uint32_t sites;

/* Where to go on behind a SYSCALL that is no more. Open addressing; entries come and never go, `to` is 0 when the code is
 * gone. Read without the lock, so a table that was too small is not freed. */
struct moved { uint64_t from, to; };
struct moved_table { uint32_t size, count; struct moved entry[]; };
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
    return m->from == rip && m->to ? m->to : rip;
}

uint32_t rewrite_sites(void)
{
    return __atomic_load_n(&sites, __ATOMIC_RELAXED);
}

/* ---- code ---------------------------------------------------------------------------------------------------------- */
static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* The last four bytes of an instruction that reaches `target` relative to its end. */
static uint8_t *put_distance(uint8_t *at, uint64_t target)
{
    int32_t distance = (int32_t)(target - ((uint64_t)at + 4));

    return put(at, &distance, sizeof(distance));
}

static void make_trampoline(uint8_t *at, uint64_t page, const struct rewrite_site *site)
{
    if (site->form == REWRITE_BEFORE) {
        at = put(at, "\xb8", 1);
        at = put(at, &site->number, 4);
    }
    at = put_distance(put(at, "\x48\x8d\x0d", 3), site->syscall + 2);
    at = put_distance(put(at, "\xff\x25", 2), page);
    if (site->form == REWRITE_BEHIND) {
        at = put(at, site->moved, site->length);
        put_distance(put(at, "\xe9", 1), site->syscall + 2 + site->length);
    }
}

static uint64_t jump_at(const struct rewrite_site *site)
{
    return site->form == REWRITE_BEFORE ? site->syscall - 5 : site->syscall;
}

static uint64_t trampoline_of(const struct module *m, uint32_t i)
{
    return m->low + FIRST + (uint64_t)i * TRAMPOLINE;
}

/* Everything is in place before the first jump is. */
static bool rewrite_all(struct module *m)
{
    uint64_t gate = syscall_gate_address();

    memcpy((void *)m->low, &gate, sizeof(gate));
    for (uint32_t i = 0; i < m->count; i++)
        make_trampoline((uint8_t *)trampoline_of(m, i), m->low, &m->site[i]);
    if (mm_protect(m->low, m->high - m->low, PROT_READ | PROT_EXEC))
        return false;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->site[i].form == REWRITE_BEHIND && !moved_add(m->site[i].syscall + 2, trampoline_of(m, i) + CONTINUE))
            return false;
    for (uint32_t i = 0; i < m->count; i++)
        put_distance(put((uint8_t *)jump_at(&m->site[i]), "\xe9", 1), trampoline_of(m, i));
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

static struct module *make_module(uint64_t start, uint64_t end)
{
    uint32_t count = collect(start, end, NULL, 0);
    struct module *m = count ? kzalloc(sizeof(*m) + count * sizeof(m->site[0])) : NULL;

    if (!m)
        return NULL;
    collect(start, end, m->site, count);
    count = rewrite_drop_targets(start, end, m->site, count);
    if (!count) {
        kfree(m);
        return NULL;
    }
    *m = (struct module){.start = start, .end = end, .count = count};
    uint64_t size = page_up(FIRST + (uint64_t)count * TRAMPOLINE);
    long low = mm_map_near(start, end, size);
    if (low < 0 || mm_populate((uint64_t)low, size)) {
        if (low >= 0)
            mm_unmap((uint64_t)low, size);
        kfree(m);
        return NULL;
    }
    m->low = (uint64_t)low;
    m->high = m->low + size;
    return m;
}

void rewrite_code_loaded(uint64_t start, uint64_t end)
{
    if (start_info()->plain)
        return;
    if (edmm_on())
        end = pages_find(start, end, false); /* what is not there has no code */
    struct module *m = start < end ? make_module(start, end) : NULL;

    if (!m)
        return;
    lock(&rewrite_lock);
    if (rewrite_all(m)) {
        m->next = modules;
        modules = m;
        sites += m->count;
        unlock(&rewrite_lock);
        return;
    }
    unlock(&rewrite_lock);
    mm_unmap(m->low, m->high - m->low);
    kfree(m);
}

static struct module *take_gone(uint64_t start, uint64_t end)
{
    struct module **link = &modules, *m = NULL;

    lock(&rewrite_lock);
    while (*link && ((*link)->start >= end || (*link)->end <= start))
        link = &(*link)->next;
    m = *link;
    if (m) {
        *link = m->next;
        sites -= m->count;
        for (uint32_t i = 0; i < m->count; i++)
            if (m->site[i].form == REWRITE_BEHIND)
                moved_find(moved, m->site[i].syscall + 2)->to = 0;
    }
    unlock(&rewrite_lock);
    return m;
}

/* Part of a module's code gone is all of it gone: what is left of it has jumps to trampolines that stay. */
void rewrite_code_gone(uint64_t start, uint64_t end)
{
    struct module *m;

    while (__atomic_load_n(&modules, __ATOMIC_RELAXED) && (m = take_gone(start, end))) {
        if (start <= m->start && m->end <= end)
            mm_unmap(m->low, m->high - m->low);
        kfree(m);
    }
}

static uint64_t visible(const struct module *m, uint64_t rip)
{
    uint64_t offset = rip - m->low - FIRST;
    const struct rewrite_site *site = &m->site[offset / TRAMPOLINE];

    if (rip < m->low + FIRST || offset / TRAMPOLINE >= m->count)
        return rip;
    offset %= TRAMPOLINE;
    if (site->form == REWRITE_BEFORE)
        return offset < 5 ? site->syscall - 5 : site->syscall;
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

/* ---- one more, when code has been running ---------------------------------------------------------------------------- */
/* Nobody runs the program's code: its only thread is here. */
static bool patch(const struct rewrite_site *site, uint64_t trampoline)
{
    uint64_t page = page_down(site->syscall), length = page_up(site->syscall + 5) - page;

    if (mm_protect(page, length, PROT_READ | PROT_WRITE | PROT_EXEC))
        return false;
    put_distance(put((uint8_t *)site->syscall, "\xe9", 1), trampoline);
    return !mm_protect(page, length, PROT_READ | PROT_EXEC);
}

void rewrite_one(uint64_t start, uint64_t end, const struct rewrite_site *site)
{
    struct module *m = kzalloc(sizeof(*m) + sizeof(m->site[0]));
    long low = m ? mm_map_near(start, end, VIGIL_PAGE) : -1;
    uint64_t gate = syscall_gate_address();

    if (low < 0 || mm_populate((uint64_t)low, VIGIL_PAGE)) {
        kfree(m);
        return;
    }
    *m = (struct module){.start = start, .end = end, .low = (uint64_t)low, .high = (uint64_t)low + VIGIL_PAGE, .count = 1};
    m->site[0] = *site;
    memcpy((void *)low, &gate, sizeof(gate));
    make_trampoline((uint8_t *)trampoline_of(m, 0), m->low, site);
    lock(&rewrite_lock);
    bool done = !mm_protect(m->low, VIGIL_PAGE, PROT_READ | PROT_EXEC) &&
                moved_add(site->syscall + 2, trampoline_of(m, 0) + CONTINUE) && patch(site, trampoline_of(m, 0));
    if (done) {
        m->next = modules;
        modules = m;
        sites++;
    }
    unlock(&rewrite_lock);
    if (!done) {
        mm_unmap(m->low, VIGIL_PAGE);
        kfree(m);
    }
}
