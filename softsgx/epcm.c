/* SPDX-License-Identifier: Apache-2.0
 *
 * The EPCM: what each page of an enclave is and what may be done with it. */
#include "softsgx/enclave.h"

#include <errno.h>
#include <sys/mman.h>

static uint32_t *entry_of(const struct softsgx_enclave *e, uint64_t address)
{
    return &e->epcm[(address - e->base) / SGX_PAGE_SIZE];
}

uint32_t sgx_epcm_get(const struct softsgx_enclave *e, uint64_t address)
{
    if (!sgx_in_elrange(e, address))
        return 0;
    return __atomic_load_n(entry_of(e, address), __ATOMIC_RELAXED);
}

/* Could a page that a check has let pass be refused now? */
static bool takes_away(uint32_t before, uint32_t after)
{
    const uint32_t good = EPCM_VALID | EPCM_RWX, bad = EPCM_PENDING | EPCM_MODIFIED | EPCM_BLOCKED | EPCM_DENY_MASK;

    return (before & EPCM_VALID) && ((before & ~after & good) || (after & ~before & bad) || EPCM_PT(before) != EPCM_PT(after));
}

uint32_t sgx_epcm_update(struct softsgx_enclave *e, uint64_t address, uint32_t clear, uint32_t set)
{
    uint32_t *entry = entry_of(e, address), old = __atomic_load_n(entry, __ATOMIC_RELAXED);

    while (!__atomic_compare_exchange_n(entry, &old, (old & ~clear) | set, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    if (takes_away(old, (old & ~clear) | set))
        __atomic_add_fetch(&e->changes, 1, __ATOMIC_SEQ_CST);
    return old;
}

void sgx_epcm_update_range(struct softsgx_enclave *e, uint64_t address, uint64_t length, uint32_t clear, uint32_t set)
{
    uint32_t *entry = entry_of(e, address), *end = entry + length / SGX_PAGE_SIZE;
    bool taken = false;

    /* Before EINIT there is nobody else, and nobody who has checked anything: a heap's hundred thousand entries need no locked
     * instructions. */
    for (; entry < end && !(e->secs.attributes.flags & SGX_ATTR_INIT); entry++)
        __atomic_store_n(entry, (__atomic_load_n(entry, __ATOMIC_RELAXED) & ~clear) | set, __ATOMIC_RELAXED);
    for (; entry < end; entry++) {
        uint32_t old = __atomic_load_n(entry, __ATOMIC_RELAXED), new;

        do
            new = (old & ~clear) | set;
        while (new != old && !__atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
        taken |= new != old && takes_away(old, new);
    }
    if (taken)
        __atomic_add_fetch(&e->changes, 1, __ATOMIC_SEQ_CST);
}

bool sgx_epcm_take(struct softsgx_enclave *e, uint64_t address, uint32_t *entry)
{
    *entry = sgx_epcm_update(e, address, 0, EPCM_BUSY);
    return !(*entry & EPCM_BUSY);
}

static void count(uint64_t *counter, bool before, bool after)
{
    if (before != after)
        __atomic_add_fetch(counter, after ? 1 : ~0ull, __ATOMIC_RELAXED);
}

/* The statistics follow the entries. */
static void account(struct softsgx_enclave *e, uint32_t before, uint32_t after)
{
    bool was = before & EPCM_VALID, is = after & EPCM_VALID;

    count(&e->valid, was, is);
    count(&e->pending, was && (before & EPCM_PENDING), is && (after & EPCM_PENDING));
    count(&e->trimmed, was && EPCM_PT(before) == SGX_PT_TRIM, is && EPCM_PT(after) == SGX_PT_TRIM);
    if (was != is)
        __atomic_add_fetch(is ? &e->added : &e->removed, 1, __ATOMIC_RELAXED);
}

int sgx_epcm_give(struct softsgx_enclave *e, uint64_t address, uint32_t entry)
{
    uint32_t before = sgx_epcm_update(e, address, EPCM_SGX, entry & EPCM_SGX);
    int ret = 0;

    if (sgx_epcm_prot(before) != sgx_epcm_prot((before & ~EPCM_SGX) | (entry & EPCM_SGX))) {
        ret = sgx_epcm_apply(e, address, SGX_PAGE_SIZE);
        if (ret)
            sgx_epcm_update(e, address, EPCM_SGX, before & EPCM_SGX);
    }
    if (!ret)
        account(e, before, entry);
    sgx_epcm_update(e, address, EPCM_BUSY, 0);
    return ret;
}

/* What the EPCM alone lets the enclave's own loads, stores and fetches do. */
static uint32_t epcm_rights(uint32_t entry)
{
    const uint32_t unusable = EPCM_BLOCKED | EPCM_PENDING | EPCM_MODIFIED;

    if (!(entry & EPCM_VALID) || (entry & unusable) || EPCM_PT(entry) != SGX_PT_REG)
        return 0;
    return entry & EPCM_RWX;
}

int sgx_epcm_prot(uint32_t entry)
{
    uint32_t rights = epcm_rights(entry) & sgx_page_table(entry);

    return (rights & EPCM_R ? PROT_READ : 0) | (rights & EPCM_W ? PROT_WRITE : 0) |
           (rights & EPCM_X ? PROT_EXEC : 0);
}

/* Bytes from address on that are to have this protection, length at most. A heap's entries are equal. */
static uint64_t run_of(const struct softsgx_enclave *e, uint64_t address, uint64_t length, int prot)
{
    const uint32_t *entry = entry_of(e, address);
    uint32_t like = 0;
    bool any = false;
    uint64_t n;

    for (n = 0; n < length / SGX_PAGE_SIZE; n++) {
        uint32_t now = __atomic_load_n(&entry[n], __ATOMIC_RELAXED);

        if (any && now == like)
            continue;
        if (sgx_epcm_prot(now) != prot)
            break;
        like = now;
        any = true;
    }
    return n * SGX_PAGE_SIZE;
}

int sgx_epcm_apply(struct softsgx_enclave *e, uint64_t address, uint64_t length)
{
    const struct sgx_mapping_ops *ops = sgx_mapping();
    uint64_t end = address + length;

    if (!ops || !e->mapped)
        return 0;
    while (address < end) {
        int prot = sgx_epcm_prot(sgx_epcm_get(e, address));
        uint64_t run = run_of(e, address, end - address, prot);
        int ret = run ? ops->protect(e, address, run, prot) : 0;

        if (ret)
            return ret;
        /* Whoever changes an entry last sees its mapping follow, in whatever order two threads come to the mapping: of
         * what somebody changed meanwhile, once more. */
        address += run_of(e, address, run, prot);
    }
    return 0;
}

int softsgx_page_out(struct softsgx_enclave *e, uint64_t address, bool away)
{
    const struct sgx_mapping_ops *ops = sgx_mapping();
    uint64_t page = address & -(uint64_t)SGX_PAGE_SIZE;

    if (!ops || !e->mapped || !sgx_in_elrange(e, address))
        return -EINVAL;
    return away ? ops->protect(e, page, SGX_PAGE_SIZE, PROT_NONE) : sgx_epcm_apply(e, page, SGX_PAGE_SIZE);
}

/* The model of the page table is Linux's: a page that was never added, and a page the page table allows nothing on,
 * are not present; everything else is present with the page table's permission. An access the page table allows and
 * the EPCM denies is the SGX-induced #PF. */
uint32_t sgx_pf_error_code(const struct softsgx_enclave *e, uint64_t address, uint32_t host_error_code)
{
    uint32_t entry = sgx_epcm_get(e, address), access = EPCM_R;
    uint32_t code = (host_error_code & ~(SGX_PFEC_P | SGX_PFEC_SGX)) | SGX_PFEC_U;

    if (host_error_code & SGX_PFEC_I)
        access = EPCM_X;
    else if (host_error_code & SGX_PFEC_W)
        access = EPCM_W;

    if (!sgx_in_elrange(e, address) || ((entry & EPCM_VALID) && sgx_page_table(entry) & access & epcm_rights(entry)))
        return host_error_code | SGX_PFEC_U; /* not ours: another thread repaired it, a protection key ... */
    if (!(entry & EPCM_VALID) || !sgx_page_table(entry))
        return code;
    if (sgx_page_table(entry) & access)
        code |= SGX_PFEC_SGX;
    return code | SGX_PFEC_P;
}

bool sgx_check_reg_page(const struct softsgx_enclave *e, uint64_t address, uint32_t access, struct sgx_fault *fault)
{
    uint32_t entry = sgx_epcm_get(e, address);

    if ((epcm_rights(entry) & sgx_page_table(entry) & access) == access)
        return true;
    /* R without W: the faulting access is the read. Where only W is missing it is the write. */
    if ((epcm_rights(entry) & sgx_page_table(entry) & EPCM_R) == 0)
        access = EPCM_R;
    if (!sgx_in_elrange(e, address)) /* ordinary memory where the leaf wants an EPC page */
        return sgx_raise(fault, SGX_VEC_PF, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX, address);
    return sgx_raise(fault, SGX_VEC_PF, sgx_pf_error_code(e, address, access & EPCM_W ? SGX_PFEC_W : 0), address);
}

bool sgx_check_frame(struct softsgx_enclave *e, uint64_t frame, struct sgx_fault *fault)
{
    uint64_t last = frame + (uint64_t)(e->secs.ssaframesize - 1) * SGX_PAGE_SIZE;

    for (uint32_t done = 0; done < e->xsave_size; done += SGX_PAGE_SIZE)
        if (!sgx_check_reg_page(e, frame + done, EPCM_R | EPCM_W, fault))
            return false;
    if (!sgx_check_reg_page(e, last, EPCM_R | EPCM_W, fault))
        return false;
    for (uint64_t page = frame; page <= last; page += SGX_PAGE_SIZE)
        if (sgx_private_share(e, page))
            return sgx_raise(fault, SGX_VEC_PF, SGX_PFEC_P | SGX_PFEC_W | SGX_PFEC_U, page);
    return true;
}

bool sgx_check_operand(const struct sgx_cpu *cpu, int reg, uint64_t alignment, uint32_t access, struct sgx_fault *fault)
{
    uint64_t address = cpu->gpr[reg];

    if (address % alignment || !sgx_in_elrange(cpu->enclave, address))
        return sgx_raise_gp(fault);
    return sgx_check_reg_page(cpu->enclave, address, access, fault);
}

bool sgx_check_target(const struct sgx_cpu *cpu, int reg, struct sgx_fault *fault)
{
    uint64_t address = cpu->gpr[reg];
    uint32_t entry;

    if (address % SGX_PAGE_SIZE || !sgx_in_elrange(cpu->enclave, address))
        return sgx_raise_gp(fault);
    entry = sgx_epcm_get(cpu->enclave, address);
    if ((entry & EPCM_VALID) && !(entry & EPCM_BLOCKED) && (sgx_page_table(entry) & EPCM_R))
        return true;
    return sgx_raise(fault, SGX_VEC_PF, sgx_pf_error_code(cpu->enclave, address, 0), address);
}
