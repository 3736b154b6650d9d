/* SPDX-License-Identifier: Apache-2.0
 *
 * Before a return to the application that follows an AEX: which memory the next instruction will touch, written into
 * the plan for the stub (entry.S). Runtime mode, CSSA=0: an interruption here is invisible, and a fault of the code
 * fetch continues at its fixup. It can be single-stepped, so there is no branch and no table index that depends on the
 * instruction or on registers, except two that only show what the next instruction shows anyway: that it crosses a page,
 * and that its page is seen for the first time (ret_table.c). */
#include "enclave/internal.h"
#include "enclave/notify/decode.h"
#include "enclave/notify/notify.h"

#define PAGE_MASK (~(uint64_t)(VIGIL_PAGE - 1))
#define FETCH 16
#define RED_ZONE 128
#define WITHHELD_MAX 2000

static uint64_t map_generation = 1;
static uint64_t mitigation_low, mitigation_size; /* application memory */

void mitigation_init(void)
{
    mitigation_low = boot_info()->app_start;
    mitigation_size = boot_info()->app_end - mitigation_low;
}

void mitigation_memory_changed(void)
{
    __atomic_fetch_add(&map_generation, 1, __ATOMIC_RELEASE);
}

uint64_t mitigation_generation(void)
{
    return __atomic_load_n(&map_generation, __ATOMIC_ACQUIRE);
}

/* condition ? yes : no, where the compiler might branch. */
static inline uint64_t choose(uint64_t condition, uint64_t yes, uint64_t no)
{
    __asm__("testq %1, %1\n cmovnzq %2, %0" : "+r"(no) : "r"(condition), "rm"(yes) : "cc");
    return no;
}

static inline uint64_t page_of(uint64_t address)
{
    return address & PAGE_MASK;
}

static inline bool in_application(uint64_t address)
{
    return address - mitigation_low < mitigation_size;
}

/* Sixteen bytes. False if they cannot be read: nothing of the application is gone then, it will fault itself. */
static inline bool fetch(uint64_t address, uint64_t bytes[2])
{
    uint64_t ok = 0;

    bytes[0] = bytes[1] = 0;
    __asm__ volatile("1: movq (%3), %0\n 2: movq 8(%3), %1\n incq %2\n3:\n" EX_TABLE("1b", "3b") EX_TABLE("2b", "3b")
                     : "+r"(bytes[0]), "+r"(bytes[1]), "+r"(ok)
                     : "r"(address)
                     : "cc", "memory");
    return ok;
}

/* A 128-bit shift to the right by 0 to 15 bytes. */
static inline void shift_out(uint64_t bytes[2], uint64_t count)
{
    __asm__("testb $64, %%cl\n cmovnzq %1, %0\n cmovnzq %3, %1\n shrdq %%cl, %1, %0\n shrq %%cl, %1"
            : "+&r"(bytes[0]), "+&r"(bytes[1]) : "c"(count * 8), "r"(0ull) : "cc");
}

/* Bytes of the next page behind the first `at`. Not constant-time: that an instruction crosses a page is no secret. */
static inline void append(uint64_t bytes[2], const uint64_t next[2], uint64_t at)
{
    memcpy((char *)bytes + at, next, FETCH - at);
}

/* The next instruction, from its own page alone unless it continues on the next one. */
static void decode_next(struct tcb *t, struct decoded *d)
{
    uint64_t rip = t->ckpt.rip, offset = rip & (VIGIL_PAGE - 1), last = VIGIL_PAGE - FETCH, over = offset - last;
    uint64_t inside = in_application(rip), window[2], more[2];

    over = choose(offset > last, over, 0);
    bool ok = fetch(choose(inside, rip - over, (uint64_t)t), window) & inside;
    shift_out(window, over);
    uint64_t available = FETCH - over;
    decode(d, &t->ckpt, (uint64_t)t, window, available - (available >> 4)); /* 15 at most */
    if (__builtin_expect(d->needs_more && ok && over, 0)) {
        uint64_t next_page = page_of(rip) + VIGIL_PAGE;
        ok = in_application(next_page) && fetch(next_page, more);
        if (ok) {
            append(window, more, available);
            decode(d, &t->ckpt, (uint64_t)t, window, FETCH - 1);
        }
    }
    if (__builtin_expect(!ok, 0)) /* the application will fault there */
        *d = (struct decoded){.target = rip};
}

/* A probe of an address: only in application memory. */
static inline void plan(struct tcb *t, unsigned probe, uint64_t address, uint64_t instead)
{
    uint64_t offset = address;

    __asm__("subq %3, %1\n cmpq %4, %1\n cmovaeq %2, %0"
            : "+&r"(address), "+&r"(offset) : "r"(instead), "m"(mitigation_low), "m"(mitigation_size) : "cc");
    t->plan[probe] = address;
}

static inline void plan_operands(struct tcb *t, const struct decoded *d, uint64_t stack)
{
    const struct decode_operand *a = &d->operand[0], *b = &d->operand[1];
    uint64_t first = choose(b->access, b->address, stack), size = choose(b->access, b->size, 1);
    first = choose(a->access, a->address, first);
    size = choose(a->access, a->size, size);
    uint64_t last = first + size - 1, dummy = (uint64_t)&t->dummy;
    /* The stack's pages are warmed anyway: then the room is better used for an operand that crosses a page. */
    uint64_t second = choose(b->access, b->address - stack >= 2 * VIGIL_PAGE, 0);
    uint64_t write_a = a->access & DECODE_WRITE, write_b = b->access & DECODE_WRITE;

    plan(t, PLAN_DATA0, page_of(first), (uint64_t)t);
    plan(t, PLAN_DATA1, page_of(choose(second, b->address, last)), (uint64_t)t);
    plan(t, PLAN_WRITE0, choose(write_a, a->address, choose(write_b, b->address, dummy)), dummy);
    plan(t, PLAN_WRITE1, choose(write_b, b->address, choose(write_a, last, dummy)), dummy);
}

/* Five bits of RDRAND for each use. Without entropy the old bits go round: a weaker delay, not a stop. */
static inline uint64_t random_delay(struct tcb *t)
{
    if (!t->random_left--) {
        uint64_t fresh;
        if (!random_bytes(&fresh, sizeof(fresh)))
            t->random_bits ^= fresh;
        t->random_left = 64 / 5 - 1;
    }
    t->random_bits = t->random_bits >> 5 | t->random_bits << 59;
    return t->random_bits & DELAY_MAX;
}

/* What a probe needs of its page. */
static int access_of(unsigned probe)
{
    return probe == PLAN_RET ? LINUX_PROT_EXEC : probe <= PLAN_WRITE1 ? LINUX_PROT_WRITE : LINUX_PROT_READ;
}

/* The address space has changed: pages that the program has now are absent no more. The others are still, and another fault
 * to find that out costs more than to look, with dynamic memory above all. The generation was read before the looking. */
static void look_again(struct tcb *t, uint64_t generation)
{
    if (!t->absent_generation)
        memset(t->absent, 0, sizeof(t->absent));
    for (unsigned i = 0; i < PLAN_PROBES && t->absent_generation != generation; i++)
        if (t->absent[i] && libos_page_access(t->absent[i]) & access_of(i))
            t->absent[i] = 0;
    t->absent_generation = generation;
}

/* Leaves out the probes of pages where the program has no such access: found out by a fault, so the host knows them. */
static void skip_absent(struct tcb *t, uint64_t generation)
{
    if (t->absent_generation != generation)
        look_again(t, generation);
    for (unsigned i = 0; i < PLAN_PROBES; i++) {
        uint64_t instead = i == PLAN_RET ? (uint64_t)probe_ret : i <= PLAN_WRITE1 ? (uint64_t)&t->dummy : (uint64_t)t;
        t->plan[i] = choose(t->absent[i] ^ page_of(t->plan[i]), t->plan[i], instead);
    }
}

void mitigation_prepare(void)
{
    struct tcb *t = tcb_current();
    uint64_t generation = mitigation_generation();
    uint64_t stack = page_of(t->ckpt.rsp - RED_ZONE - 8), code = page_of(t->ckpt.rip);
    struct decoded d;

    decode_next(t, &d);
    t->unknown += d.length < 1;
    t->next[0] = t->ckpt.rip + d.length;
    t->next[1] = d.target;

    plan(t, PLAN_CODE, code, (uint64_t)t);
    plan(t, PLAN_STACK0, stack, (uint64_t)t);
    plan(t, PLAN_STACK1, stack + VIGIL_PAGE, (uint64_t)t);
    plan_operands(t, &d, stack);
    plan(t, PLAN_RET, ret_table_find(code, -(uint64_t)in_application(code), generation), (uint64_t)probe_ret);
    t->plan[PLAN_DELAY] = random_delay(t);
    if (__builtin_expect(t->absent_generation, 0))
        skip_absent(t, generation);
}

/* ---- probes that fault ---------------------------------------------------------------------------------------------- */
struct probe_entry { int32_t insn; uint32_t number; };
extern const struct probe_entry __start_probe_table[], __stop_probe_table[];

uint32_t probe_at(const struct tcb *t, uint64_t rip, uint64_t rsp)
{
    if (rsp == (uint64_t)&t->probe_word)
        return PLAN_RET + 1;
    /* cppcheck-suppress comparePointers; both ends of one section */
    for (const struct probe_entry *e = __start_probe_table; e < __stop_probe_table; e++)
        if ((uint64_t)&e->insn + (int64_t)e->insn == rip)
            return e->number + 1;
    return 0;
}

/* The program's page is there, as far as the enclave knows, and its probe faults at the same instruction again and again:
 * the host has taken the page and does not give it back (or cannot: what it has removed is lost). */
static void withheld(struct tcb *t, uint64_t page)
{
    if (t->withheld_page != page || t->withheld_rip != t->ckpt.rip)
        t->withheld_count = 0;
    t->withheld_page = page;
    t->withheld_rip = t->ckpt.rip;
    if (++t->withheld_count < WITHHELD_MAX)
        return;
    log_line(VIGIL_LOG_ERROR, "the program cannot go on at 0x%lx without page 0x%lx", t->ckpt.rip, page);
    runtime_fail("the host withholds a page that the program may access");
}

/* If the program may not touch the page this way, the probe is left out from now on, and the program will fault by
 * itself if it really does. If it may, the fault is the host's doing: the probe stays, and the program goes nowhere until
 * the host has given the page back. With dynamic memory a page that was never there is added first; if it cannot be, the
 * probe goes: the program would fault on it. So no host can have a probe dropped and then let the program run. */
void probe_faulted(struct tcb *t, uint32_t number)
{
    uint64_t address = t->plan[number];
    int needed = access_of(number);
    uint64_t generation = mitigation_generation();

    t->probe_faults++;
    if (user_range_ok((void *)address, 1) && libos_page_access(address) & needed &&
        (!edmm_on() || !libos_populate(address, 1, needed))) {
        withheld(t, page_of(address));
        return;
    }
    if (edmm_on() && user_range_ok((void *)address, 1) && !page_present(address))
        libos_stray(address);
    if (t->absent_generation != generation)
        look_again(t, generation);
    t->absent[number] = page_of(address);
}
