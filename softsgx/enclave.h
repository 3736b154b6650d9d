/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal to the semantics: an enclave, its EPC and its EPCM. The trap driver sees only cpu.h. */
#ifndef SOFTSGX_ENCLAVE_H
#define SOFTSGX_ENCLAVE_H

#include "softsgx/cpu.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* One EPCM entry. The low 16 bits are SECINFO.FLAGS as they are (R W X PENDING MODIFIED PR PT); VALID and BLOCKED
 * take two bits that SECINFO reserves. Above them is what the *page table* denies, inverted so that an all-zero entry
 * is an invalid page on which the page table allows everything: the array needs no initialisation. */
#define EPCM_R        ((uint32_t)SGX_SECINFO_R)
#define EPCM_W        ((uint32_t)SGX_SECINFO_W)
#define EPCM_X        ((uint32_t)SGX_SECINFO_X)
#define EPCM_RWX      (EPCM_R | EPCM_W | EPCM_X)
#define EPCM_PENDING  ((uint32_t)SGX_SECINFO_PENDING)
#define EPCM_MODIFIED ((uint32_t)SGX_SECINFO_MODIFIED)
#define EPCM_PR       ((uint32_t)SGX_SECINFO_PR)
#define EPCM_VALID    (1u << 6)
#define EPCM_BLOCKED  (1u << 7)
#define EPCM_PT(e)    (((e) >> SGX_SECINFO_PT_SHIFT) & 0xffu)
#define EPCM_DENY_SHIFT 16
#define EPCM_DENY_MASK (7u << EPCM_DENY_SHIFT) /* R W X denied by the page table */
#define EPCM_BUSY     (1u << 24) /* a leaf works on the page; another one that wants to is told of the conflict */
#define EPCM_PRIVATE  (1u << 25) /* has no alias: private.c */
#define EPCM_SGX      (0xffffu)  /* what the processor knows of the page; the rest is the page table's and ours */

struct softsgx_enclave {
    uint64_t base, size;
    uint8_t *alias;          /* EPC contents: alias[offset], readable and writable, sparse; not of EPCM_PRIVATE pages */
    int file, memory;        /* the one behind alias, and /proc/self/mem (private.c); -1: none */
    uint32_t *epcm;          /* size / 4096 entries, lazily backed; changed by compare-and-swap */
    uint32_t *page_epoch;    /* size / 4096 entries, lazily backed: the epoch of the last EMODPR or EMODT */
    uint32_t epoch;          /* tracking (track.c) */
    uint32_t inside[2];      /* threads inside, by the parity of the epoch in which they entered */
    uint32_t changes;        /* counts what could make a later check of an entry end otherwise: rights and pages taken away,
                              * a debugger's write to a TCS */
    struct sgx_secs secs;    /* constant once ATTRIBUTES.INIT is set */
    uint8_t isvfamilyid[16], isvextprodid[16]; /* the hidden part of the SECS, from SIGSTRUCT */
    uint32_t xsave_size;     /* of the XSAVE area in an SSA frame, from XFRM */
    uint64_t valid, pending, trimmed, added, removed; /* pages: so many now; EAUG and EREMOVE so far */
    bool mapped;             /* sgx_mapping_ops was told about it */
    uint64_t unapplied, unapplied_end; /* until EINIT: the mapping of these addresses is still to follow their entries */
    void *mapping;           /* the mapping's own */
    void *measurement;       /* SHA-256 context until EINIT */
    pthread_mutex_t lock;    /* builders only; never taken by a leaf or by AEX */
    struct softsgx_enclave *next_free;
};

static inline uint64_t sgx_frame_offset(const struct softsgx_enclave *e, const struct sgx_tcs *tcs, uint64_t index)
{
    return tcs->ossa + index * e->secs.ssaframesize * SGX_PAGE_SIZE; /* wraps as the processor's adder does */
}

/* Addresses are canonical with 48 bits: what softsgx enumerates has no LA57. */
static inline bool sgx_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static inline bool sgx_in_elrange(const struct softsgx_enclave *e, uint64_t address)
{
    return address - e->base < e->size;
}

static inline bool sgx_all_zero(const void *data, size_t length)
{
    const uint8_t *p = data;

    return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}

/* Of a page that has an alias: TCS, SSA frame, code of a measured image. Else sgx_epc_read() and its kin. */
static inline uint8_t *sgx_epc(const struct softsgx_enclave *e, uint64_t address)
{
    return e->alias + (address - e->base);
}

/* GPRSGX at the end of the SSA frame at this address. */
static inline struct sgx_gprsgx *sgx_frame_gpr(const struct softsgx_enclave *e, uint64_t frame)
{
    return (struct sgx_gprsgx *)sgx_epc(e, frame + (uint64_t)e->secs.ssaframesize * SGX_PAGE_SIZE) - 1;
}

/* What the page table allows: EPCM_R, _W, _X. */
static inline uint32_t sgx_page_table(uint32_t entry)
{
    return ~(entry >> EPCM_DENY_SHIFT) & EPCM_RWX;
}

/* ---- private.c ---- */
/* Bulk of zero pages, not accessible yet, may do without an alias. true: their entries are to say so. */
bool sgx_private_back(struct softsgx_enclave *e, uint64_t address, uint64_t length);
void sgx_private_close(struct softsgx_enclave *e);
/* The page becomes zeroes, and is no memory until it is used again. */
void sgx_epc_clear(struct softsgx_enclave *e, uint64_t address);
/* The page gets an alias. 0 or -errno. */
int sgx_private_share(struct softsgx_enclave *e, uint64_t address);

/* ---- epcm.c ---- */
uint32_t sgx_epcm_get(const struct softsgx_enclave *e, uint64_t address);
/* entry := (entry & ~clear) | set, for a page of ELRANGE, atomically. Returns what it was. */
uint32_t sgx_epcm_update(struct softsgx_enclave *e, uint64_t address, uint32_t clear, uint32_t set);
/* The same for whole pages, one after the other. */
void sgx_epcm_update_range(struct softsgx_enclave *e, uint64_t address, uint64_t length, uint32_t clear, uint32_t set);
/* For one leaf the page is its own from take to give. take: false if another leaf has it; *entry is what it is.
 * give: its SGX part becomes entry's, the linear mapping follows, BUSY goes. 0, or -errno of the mapping: then the page
 * is as it was before. */
bool sgx_epcm_take(struct softsgx_enclave *e, uint64_t address, uint32_t *entry);
int sgx_epcm_give(struct softsgx_enclave *e, uint64_t address, uint32_t entry);
/* Protection of the linear mapping: EPCM and page table combined (PROT_*). */
int sgx_epcm_prot(uint32_t entry);
/* Brings the linear mapping of a range up to date: one protect call for each run of equal protection. */
int sgx_epcm_apply(struct softsgx_enclave *e, uint64_t address, uint64_t length);
/* May a leaf use the PT_REG page at this address with these EPCM_R/W rights? Otherwise *fault is the #PF. */
bool sgx_check_reg_page(const struct softsgx_enclave *e, uint64_t address, uint32_t access, struct sgx_fault *fault);
/* The pages of an SSA frame that EENTER, ERESUME and EDECCSSA check. */
bool sgx_check_frame(struct softsgx_enclave *e, uint64_t frame, struct sgx_fault *fault);
/* A memory operand of an in-enclave leaf: alignment and ELRANGE are #GP, everything about its page is #PF on it. */
bool sgx_check_operand(const struct sgx_cpu *cpu, int reg, uint64_t alignment, uint32_t access,
                       struct sgx_fault *fault);
/* The same for a page that a leaf changes: in ELRANGE, VALID, not BLOCKED, read access in the page table. What type it
 * is and whether it is PENDING or MODIFIED is the leaf's to look at. */
bool sgx_check_target(const struct sgx_cpu *cpu, int reg, struct sgx_fault *fault);

static inline bool sgx_raise(struct sgx_fault *fault, uint8_t vector, uint32_t error_code, uint64_t address)
{
    *fault = (struct sgx_fault){ vector, error_code, address };
    return false;
}
static inline bool sgx_raise_gp(struct sgx_fault *fault)
{
    return sgx_raise(fault, SGX_VEC_GP, 0, 0);
}

/* ---- enclave.c ---- */
const struct sgx_mapping_ops *sgx_mapping(void);
/* Nobody can use an enclave before EINIT, so that until then its mapping may lag behind its entries. EINIT calls this. */
int sgx_settle(struct softsgx_enclave *e);

/* ---- track.c: which threads may still hold translations from before a change (ETRACK) ---- */
uint32_t sgx_track_enter(struct softsgx_enclave *e);                /* the epoch the thread is in from now on */
void sgx_track_leave(struct softsgx_enclave *e, uint32_t epoch);
bool sgx_track_complete(const struct softsgx_enclave *e, uint64_t address);
void sgx_track_stamp(struct softsgx_enclave *e, uint64_t address);
uint32_t sgx_track_inside(const struct softsgx_enclave *e);         /* threads in enclave mode */

/* ---- encls.c: the privileged leaves of dynamic memory. Each works on one page, and returns 0, an SGX error code (ZF),
 * -EINVAL where the processor raises #GP, -EFAULT where it raises #PF, or -ENOMEM if this machine cannot map it. ---- */
int sgx_eaug(struct softsgx_enclave *e, uint64_t address);
int sgx_emodpr(struct softsgx_enclave *e, uint64_t address, const struct sgx_secinfo *secinfo);
int sgx_emodt(struct softsgx_enclave *e, uint64_t address, const struct sgx_secinfo *secinfo);
int sgx_etrack(struct softsgx_enclave *e);
int sgx_eremove(struct softsgx_enclave *e, uint64_t address);

/* ---- driver.c ---- */
bool sgx_epc_take_pages(uint64_t pages); /* of the processor's EPC, which may be limited; false: there is none left */
void sgx_epc_give_pages(uint64_t pages);

/* ---- measure.c: MRENCLAVE as it grows. Not for signal handlers. ---- */
int sgx_measure_start(struct softsgx_enclave *e);
int sgx_measure_eadd(struct softsgx_enclave *e, uint64_t offset, uint64_t secinfo_flags);
/* EADD of so many pages, without EEXTEND. */
int sgx_measure_run(struct softsgx_enclave *e, uint64_t offset, uint64_t pages, uint64_t secinfo_flags);
int sgx_measure_eextend(struct softsgx_enclave *e, uint64_t offset, const uint8_t page[SGX_PAGE_SIZE]);
int sgx_measure_digest(const struct softsgx_enclave *e, uint8_t mrenclave[32]);
void sgx_measure_free(struct softsgx_enclave *e);

/* ---- sigstruct.c: the checks of EINIT that look at SIGSTRUCT alone; 0 or an SGX error code ---- */
int sgx_sigstruct_check(const struct sgx_sigstruct *s);
int sgx_sigstruct_verify(const struct sgx_sigstruct *s);
int sgx_sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t mrsigner[32]);

/* ---- xstate.c ---- */
/* Bytes of a standard-format XSAVE area for these features. */
uint32_t sgx_xsave_size(uint64_t xfrm);
void sgx_xstate_init(void); /* reads CPUID 0xD once; before any leaf */
/* XSAVE of the live state into an SSA frame, then the live state to its initial configuration. */
void sgx_xstate_save(const struct sgx_cpu *cpu, uint64_t xfrm, uint8_t *area);
void sgx_xstate_synthetic(struct sgx_cpu *cpu, int vector);
/* XRSTOR: would it raise #GP?  Then the load itself. */
bool sgx_xstate_valid(uint64_t xfrm, const uint8_t *area);
void sgx_xstate_load(struct sgx_cpu *cpu, uint64_t xfrm, const uint8_t *area);

/* ---- cpuid.c ---- */
uint64_t sgx_settable_attributes(void);
#define SGX_SETTABLE_MISC SGX_MISC_EXINFO
#define SGX_LOG2_MAX_SIZE_32 31
#define SGX_LOG2_MAX_SIZE_64 40

/* ---- leaves; cpu->enclave_mode has been checked by the dispatcher ---- */
bool sgx_eenter(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_eresume(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_eexit(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_edeccssa(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_ereport(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_egetkey(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_eaccept(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_emodpe(struct sgx_cpu *cpu, struct sgx_fault *fault);
bool sgx_eacceptcopy(struct sgx_cpu *cpu, struct sgx_fault *fault);

#define SGX_ENCLU_LENGTH 3

#define SGX_FL_CF  (1ull << 0)
#define SGX_FL_PF  (1ull << 2)
#define SGX_FL_AF  (1ull << 4)
#define SGX_FL_ZF  (1ull << 6)
#define SGX_FL_SF  (1ull << 7)
#define SGX_FL_TF  (1ull << 8)
#define SGX_FL_IF  (1ull << 9)
#define SGX_FL_DF  (1ull << 10)
#define SGX_FL_OF  (1ull << 11)
#define SGX_FL_IOPL (3ull << 12)
#define SGX_FL_NT  (1ull << 14)
#define SGX_FL_RF  (1ull << 16)
#define SGX_FL_VM  (1ull << 17)
#define SGX_FL_AC  (1ull << 18)
#define SGX_FL_ID  (1ull << 21)

#endif
