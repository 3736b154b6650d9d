/* SPDX-License-Identifier: Apache-2.0
 *
 * ENCLU without a trap. #UD costs microseconds, most of them the hypervisor's; an OCALL has two of them. softsgx_accelerate
 * makes the processor faster, not different: image and measurement are what they were.
 *
 *   Inside, an ENCLU that is followed by a two-byte NOP or by UD2 becomes a jump, when the enclave is initialised and has
 *   not been entered yet, to its copy of the template in trap_fast.S. That does EEXIT and EDECCSSA itself and leaves the
 *   other leaves to a trap that is cheaper than #UD.
 *   Outside, the host may call softsgx_fast_eenter in front of its ENCLU. Entries that are like the thread's last one are
 *   not checked again.
 *
 * What is different from a trap: the arithmetic flags are lost; the enclave finds a jump when it reads its own code; a
 * debugger that steps sees the template. So it is a choice, and a thread that is being stepped takes the traps.
 * A thread in the enclave is found by the page its GS points to, which must be its own: two threads with one page, or a GS
 * that is not page-aligned, end the acceleration. NPTL's internal signals are not held back any more (trap_frame.c). */
#include "softsgx/enclave.h"
#include "softsgx/trap.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

_Static_assert(offsetof(struct softsgx_enclave, epoch) == ENCLAVE_EPOCH, "trap_fast.S");
_Static_assert(offsetof(struct softsgx_enclave, inside) == ENCLAVE_INSIDE, "trap_fast.S");
_Static_assert(offsetof(struct softsgx_enclave, changes) == ENCLAVE_CHANGES, "trap_fast.S");

#define REGIONS 16
#define SITES 64
#define SITE_LENGTH 5
#define COPY_SIZE 512
#define REACH (1ull << 30) /* of the region from the end of ELRANGE: with a JMP's 2 GB that leaves 1 GB of code */

extern const char sgx_fast_template[], sgx_fast_template_end[];
extern const char sgx_fast_base[], sgx_fast_size[], sgx_fast_table[], sgx_fast_after[], sgx_fast_site[];
extern const char sgx_fast_eexit[], sgx_fast_eexit_committed[], sgx_fast_eexit_left[], sgx_fast_eexit_counted[];
extern const char sgx_fast_eexit_free[], sgx_fast_not_eexit[], sgx_fast_edeccssa[], sgx_fast_edeccssa_saved[];
extern const char sgx_fast_edeccssa_committed[], sgx_fast_edeccssa_counted[];
extern const char sgx_fast_slow_eexit[], sgx_fast_slow_edeccssa_rcx[], sgx_fast_slow_edeccssa[], sgx_fast_slow[];
extern const char sgx_fast_slow_end[], sgx_fast_eenter_committed[], sgx_fast_eenter_counted[], sgx_fast_eenter_end[];
#define AT(label) ((uint64_t)sgx_fast_##label - (uint64_t)sgx_fast_template)

struct region {
    struct softsgx_enclave *enclave;        /* NULL: free. Written last, read without a lock */
    uint64_t start, end;                    /* the copies */
    struct trap_thread **table;             /* by page of ELRANGE that GS points to */
    size_t table_size;
    bool off;
    unsigned sites;
    uint64_t site[SITES];
};
static struct region regions[REGIONS];
static bool accelerated; /* since ever */

bool sgx_fast_in_use(void)
{
    return __atomic_load_n(&accelerated, __ATOMIC_RELAXED);
}

static struct region *region_of(const struct softsgx_enclave *e)
{
    for (unsigned i = 0; e && i < REGIONS; i++)
        if (__atomic_load_n(&regions[i].enclave, __ATOMIC_ACQUIRE) == e)
            return &regions[i];
    return NULL;
}

static struct region *region_at(uint64_t rip)
{
    for (unsigned i = 0; i < REGIONS; i++)
        if (__atomic_load_n(&regions[i].enclave, __ATOMIC_ACQUIRE) && rip - regions[i].start < regions[i].end - regions[i].start)
            return &regions[i];
    return NULL;
}

/* ---- which thread may take the fast way ---- */
static void forget(struct trap_thread *t)
{
    struct trap_thread *own = t;

    if (t->fast.entry && __atomic_load_n(t->fast.entry, __ATOMIC_SEQ_CST) == t)
        __atomic_compare_exchange_n(t->fast.entry, &own, NULL, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    t->fast.entry = NULL;
}

static bool claim_page(struct trap_thread *t, struct region *r, uint64_t gsbase)
{
    uint64_t offset = gsbase - r->enclave->base;
    struct trap_thread *there = NULL;

    if (offset >= r->enclave->size || offset % SGX_PAGE_SIZE)
        return false;
    t->fast.entry = &r->table[offset / SGX_PAGE_SIZE];
    if (__atomic_compare_exchange_n(t->fast.entry, &there, t, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) || there == t)
        return true;
    __atomic_store_n(&r->off, true, __ATOMIC_SEQ_CST); /* two threads share the page */
    __atomic_add_fetch(&r->enclave->changes, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(t->fast.entry, NULL, __ATOMIC_SEQ_CST);
    t->fast.entry = NULL;
    return false;
}

/* The thread is about to be in enclave mode with these registers. */
static bool open_way(struct trap_thread *t, const struct sgx_cpu *cpu)
{
    struct region *r = region_of(cpu->enclave);
    struct softsgx_enclave *e = cpu->enclave;
    struct sgx_fault fault;

    if (!r || __atomic_load_n(&r->off, __ATOMIC_RELAXED) || t->step.active || t->step.over || !claim_page(t, r, cpu->gsbase))
        return false;
    t->fast.tcs = (struct sgx_tcs *)sgx_epc(e, cpu->tcs);
    t->fast.inside = &e->inside[cpu->epoch & 1];
    t->fast.frame_ok = t->fast.tcs->cssa == 1 && sgx_check_frame(e, e->base + sgx_frame_offset(e, t->fast.tcs, 0), &fault);
    return true;
}

void sgx_fast_update(struct trap_thread *t)
{
    if (!sgx_fast_in_use())
        return;
    forget(t);
    if (t->cpu.enclave_mode)
        open_way(t, &t->cpu);
}

/* ---- EENTER ---- */
/* For the next entry, if that is like this one. */
static void remember(struct trap_thread *t, const struct sgx_cpu *in, uint64_t aep, uint32_t changes, bool open)
{
    struct softsgx_enclave *e = in->enclave;

    if (in->gpr[SGX_RAX] && t->fast.again.tcs == in->tcs)
        return; /* of a stay at CSSA=1: the entry at CSSA=0 is as it was */
    t->fast.again.tcs = 0;
    if (in->gpr[SGX_RAX] || !open)
        return;
    t->fast.again = (struct trap_again){
        .tcs = in->tcs, .aep = aep, .enclave = e, .page = t->fast.tcs, .entry = t->fast.entry, .xfrm = in->xcr0,
        .gpr = sgx_frame_gpr(e, e->base + sgx_frame_offset(e, t->fast.tcs, 0)), .changes = changes, .dbgoptin = in->dbgoptin,
    };
}

/* For softsgx_fast_eenter: everything up to the commit. NULL: not this way. */
struct trap_thread *sgx_fast_prepare(uint64_t tcs, uint64_t aep, uint64_t rsp, uint64_t rbp, uint64_t return_to);
struct trap_thread *sgx_fast_prepare(uint64_t tcs, uint64_t aep, uint64_t rsp, uint64_t rbp, uint64_t return_to)
{
    struct trap_thread *t = sgx_trap_self();
    const struct softsgx_enclave *e = sgx_enclave_at(tcs);
    uint32_t changes = e ? __atomic_load_n(&e->changes, __ATOMIC_SEQ_CST) : 0; /* before the checks */
    struct sgx_fault fault;
    struct sgx_cpu in;

    if (!t || t->step.active || t->step.over || !region_of(e))
        return NULL;
    in = (struct sgx_cpu){ .rflags = 0x202, .xcr0 = t->fast.xcr0 };
    in.gpr[SGX_RAX] = SGX_EENTER;
    in.gpr[SGX_RBX] = tcs;
    in.gpr[SGX_RCX] = aep;
    in.gpr[SGX_RSP] = rsp;
    in.gpr[SGX_RBP] = rbp;
    __asm__ volatile("rdfsbase %0\n rdgsbase %1" : "=r"(in.fsbase), "=r"(in.gsbase));
    __atomic_store_n(&t->fast.entering, true, __ATOMIC_SEQ_CST); /* a tick now is no reason to stop the timer */
    if (t->tick_parked)
        sgx_trap_tick_arm(t);
    if (!sgx_eenter(&in, &fault)) {
        t->fast.entering = false;
        return NULL; /* it is executed again, and faults */
    }
    t->cpu.rip = t->fast.target = in.rip;
    t->cpu.fsbase = t->fast.fsbase = in.fsbase;
    t->cpu.gsbase = t->fast.gsbase = in.gsbase;
    t->cpu.saved_fsbase = in.saved_fsbase;
    t->cpu.saved_gsbase = in.saved_gsbase;
    t->cpu.saved_xcr0 = in.saved_xcr0;
    t->cpu.xcr0 = in.xcr0;
    t->cpu.dbgoptin = in.dbgoptin;
    t->cpu.saved_tf = in.saved_tf;
    t->cpu.tcs = in.tcs;
    t->cpu.epoch = in.epoch;
    __atomic_store_n(&t->cpu.enclave, in.enclave, __ATOMIC_RELAXED);
    t->fast.cssa = (uint32_t)in.gpr[SGX_RAX];
    t->fast.rsp = rsp;
    t->fast.return_to = return_to;
    forget(t);
    remember(t, &in, aep, changes, open_way(t, &in));
    return t;
}

void *softsgx_fast_self(void)
{
    return sgx_trap_self();
}

/* ---- a signal on the way ---- */
static void finish_eenter(struct trap_thread *t, ucontext_t *uc, uint64_t rip)
{
    greg_t *g = uc->uc_mcontext.gregs;

    if (rip < (uint64_t)sgx_fast_eenter_counted)
        sgx_trap_count(t, STAT_EENTER);
    t->fast.entering = false;
    t->cpu.fsbase = t->fast.fsbase;
    t->cpu.gsbase = t->fast.gsbase;
    g[REG_RAX] = t->fast.cssa;
    g[REG_RCX] = g[REG_R11];
    g[REG_RSP] = (greg_t)t->fast.rsp;
    g[REG_RIP] = (greg_t)t->fast.target;
}

static void finish_eexit(struct trap_thread *t, ucontext_t *uc, uint64_t at)
{
    greg_t *g = uc->uc_mcontext.gregs;

    if (at < AT(eexit_left)) {
        forget(t);
        __atomic_sub_fetch(t->fast.inside, 1, __ATOMIC_SEQ_CST);
    }
    if (at < AT(eexit_counted))
        sgx_trap_count(t, STAT_EEXIT);
    if (at < AT(eexit_free)) {
        g[REG_RCX] = (greg_t)t->fast.tcs->aep;
        __atomic_store_n(&t->fast.tcs->state, SGX_TCS_INACTIVE, __ATOMIC_RELEASE);
    }
    g[REG_RAX] = SGX_EEXIT;
    g[REG_RIP] = g[REG_RBX];
}

static void settle_edeccssa(struct trap_thread *t, ucontext_t *uc, uint64_t at, uint64_t site)
{
    greg_t *g = uc->uc_mcontext.gregs;
    bool done = at >= AT(edeccssa_committed) && at < AT(slow_eexit);

    if (done && at < AT(edeccssa_counted))
        sgx_trap_count(t, STAT_EDECCSSA);
    if (done || at >= AT(slow_edeccssa_rcx) || (at >= AT(edeccssa_saved) && at < AT(slow_eexit)))
        g[REG_RCX] = (greg_t)t->fast.rcx;
    g[REG_RAX] = SGX_EDECCSSA;
    g[REG_RIP] = (greg_t)(site + (done ? SITE_LENGTH : 0));
}

/* The slow way's INT3 is the ENCLU of the site; a signal anywhere else comes in front of the ENCLU or behind it. */
static int settle_copy(struct trap_thread *t, int sig, const siginfo_t *info, ucontext_t *uc, uint64_t at, uint64_t site)
{
    greg_t *g = uc->uc_mcontext.gregs;

    if (at >= AT(eexit_committed) && at < AT(not_eexit)) {
        finish_eexit(t, uc, at);
    } else if (at >= AT(eexit) && at < AT(eexit_committed)) {
        g[REG_RAX] = SGX_EEXIT;
        g[REG_RIP] = (greg_t)site;
    } else if (at >= AT(edeccssa) && at < AT(slow_eexit)) {
        settle_edeccssa(t, uc, at, site);
    } else if (at >= AT(slow_edeccssa_rcx) && at < AT(slow)) {
        settle_edeccssa(t, uc, at < AT(slow_edeccssa) ? at : AT(edeccssa), site);
    } else {
        if (at >= AT(slow_eexit) && at < AT(slow_edeccssa_rcx))
            g[REG_RAX] = SGX_EEXIT;
        g[REG_RIP] = (greg_t)site;
        if (at == AT(slow_end) && sig == SIGTRAP && sgx_trap_synchronous(sig, info)) {
            g[REG_TRAPNO] = SGX_VEC_UD;
            return SIGILL;
        }
    }
    return sig;
}

int sgx_fast_settle(struct trap_thread *t, int sig, const siginfo_t *info, ucontext_t *uc)
{
    uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    struct region *r;

    if (!sgx_fast_in_use())
        return sig;
    if (rip >= (uint64_t)sgx_fast_eenter_committed && rip < (uint64_t)sgx_fast_eenter_end) {
        finish_eenter(t, uc, rip);
        return sig;
    }
    r = region_at(rip);
    if (!r || (rip - r->start) / COPY_SIZE >= r->sites)
        return sig;
    if (sig == SIGTRAP && info->si_code == TRAP_TRACE && t->step.active) {
        /* The jump has been stepped: it is the ENCLU. */
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)r->site[(rip - r->start) / COPY_SIZE];
        uc->uc_mcontext.gregs[REG_TRAPNO] = SGX_VEC_UD;
        return SIGILL;
    }
    return settle_copy(t, sig, info, uc, (rip - r->start) % COPY_SIZE, r->site[(rip - r->start) / COPY_SIZE]);
}

void sgx_fast_skip(struct trap_thread *t)
{
    const struct region *r = t->cpu.enclave_mode ? region_of(t->cpu.enclave) : NULL;

    for (unsigned i = 0; r && i < r->sites; i++)
        if (t->cpu.rip == r->site[i] + SGX_ENCLU_LENGTH)
            t->cpu.rip = r->site[i] + SITE_LENGTH;
}

/* ---- making it ---- */
void sgx_fast_hide(const struct softsgx_enclave *e, uint64_t address, uint8_t *code, unsigned n)
{
    static const uint8_t enclu[3] = { 0x0f, 0x01, 0xd7 };
    const struct region *r = region_of(e);

    for (unsigned i = 0; r && i < r->sites; i++)
        for (unsigned k = 0; k < sizeof(enclu); k++)
            if (r->site[i] + k - address < n)
                code[r->site[i] + k - address] = enclu[k];
}

static bool is_site(const uint8_t *p)
{
    return p[0] == 0x0f && p[1] == 0x01 && p[2] == 0xd7 && ((p[3] == 0x66 && p[4] == 0x90) || (p[3] == 0x0f && p[4] == 0x0b));
}

/* Sites in code that nobody can write, page by page: none crosses the end of one unless the next is code as well. */
static void find_sites(struct region *r, struct softsgx_enclave *e)
{
    uint64_t end = e->base + e->size, start = e->size > REACH ? end - REACH : e->base;

    for (uint64_t page = start; page < end; page += SGX_PAGE_SIZE) {
        uint32_t entry = sgx_epcm_get(e, page);
        if (!(entry & EPCM_VALID) || EPCM_PT(entry) != SGX_PT_REG || (entry & EPCM_RWX) != (EPCM_R | EPCM_X))
            continue;
        const uint8_t *code = sgx_epc(e, page);
        for (unsigned i = 0; i + SITE_LENGTH <= SGX_PAGE_SIZE && r->sites < SITES; i++)
            if (is_site(code + i))
                r->site[r->sites++] = page + i;
    }
}

static int map_region(struct region *r, const struct softsgx_enclave *e)
{
    uint64_t size = (r->sites * COPY_SIZE + SGX_PAGE_SIZE - 1) & -(uint64_t)SGX_PAGE_SIZE, end = e->base + e->size;

    r->table_size = e->size / SGX_PAGE_SIZE * sizeof(*r->table);
    r->table = mmap(NULL, r->table_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r->table == MAP_FAILED)
        return -errno;
    for (uint64_t at = end; at < end + REACH / 2; at += 1 << 20) {
        if (mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
            MAP_FAILED)
            continue;
        r->start = at;
        r->end = at + size;
        return 0;
    }
    munmap(r->table, r->table_size);
    return -ENOMEM;
}

static void put_word(uint64_t copy, const char *label, uint64_t value)
{
    memcpy((void *)(copy + ((uint64_t)label - (uint64_t)sgx_fast_template)), &value, sizeof(value));
}

static void make_copy(const struct region *r, unsigned i, const struct softsgx_enclave *e)
{
    uint64_t copy = r->start + i * COPY_SIZE;

    memcpy((void *)copy, sgx_fast_template, AT(template_end));
    put_word(copy, sgx_fast_base, e->base);
    put_word(copy, sgx_fast_size, e->size);
    put_word(copy, sgx_fast_table, (uint64_t)r->table);
    put_word(copy, sgx_fast_after, r->site[i] + SITE_LENGTH);
    put_word(copy, sgx_fast_site, r->site[i]);
}

static void patch(const struct region *r, unsigned i, const struct softsgx_enclave *e)
{
    int32_t distance = (int32_t)(r->start + i * COPY_SIZE - (r->site[i] + SITE_LENGTH));
    uint8_t *code = sgx_epc(e, r->site[i]);

    code[0] = 0xe9;
    memcpy(code + 1, &distance, sizeof(distance));
}

int softsgx_accelerate(struct softsgx_enclave *e)
{
    struct region *r = NULL;
    int ret;

    _Static_assert(SGX_PAGE_SIZE % COPY_SIZE == 0, "copies do not cross pages");
    if (!sgx_enclave_initialised(e) || sgx_track_inside(e) || region_of(e))
        return -EINVAL;
    for (unsigned i = 0; i < REGIONS && !r; i++)
        r = regions[i].enclave ? NULL : &regions[i];
    if (!r)
        return -ENOSPC;
    *r = (struct region){0};
    find_sites(r, e);
    if (!r->sites)
        return -ENOENT;
    ret = map_region(r, e);
    if (ret)
        return ret;
    for (unsigned i = 0; i < r->sites; i++)
        make_copy(r, i, e);
    if (mprotect((void *)r->start, r->end - r->start, PROT_READ | PROT_EXEC)) {
        ret = -errno;
        munmap((void *)r->start, r->end - r->start);
        munmap(r->table, r->table_size);
        return ret;
    }
    for (unsigned i = 0; i < r->sites; i++)
        patch(r, i, e);
    __atomic_store_n(&accelerated, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&r->enclave, e, __ATOMIC_RELEASE);
    return 0;
}

static const struct region *going;

/* Nobody is inside: what an earlier stay has left behind. */
static void forget_entry(struct trap_thread *t)
{
    if ((uint64_t)t->fast.entry - (uint64_t)going->table < going->table_size)
        t->fast.entry = NULL;
    if ((uint64_t)t->fast.again.entry - (uint64_t)going->table < going->table_size)
        t->fast.again.tcs = 0;
}

/* Under the builders' lock. */
void sgx_fast_forget(const struct softsgx_enclave *e)
{
    struct region *r = region_of(e);

    if (!r)
        return;
    __atomic_store_n(&r->enclave, NULL, __ATOMIC_SEQ_CST);
    going = r;
    sgx_trap_each_thread(forget_entry);
    munmap((void *)r->start, r->end - r->start);
    munmap(r->table, r->table_size);
}
