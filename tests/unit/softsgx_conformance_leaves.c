/* SPDX-License-Identifier: Apache-2.0
 *
 * ENCLU: every check, one row each. A row is run twice: without its edit the leaf must succeed, so that what fails is
 * what the row breaks; with it the fault must be the expected one and nothing at all may have changed. */
#include "softsgx_conformance.h"

#include <stdlib.h>

enum edit_kind { NONE, GPR, GPR_REL, TCS64, TCS32, MEM64, MEM32, MEM16, MEM8, EPCM_SET, EPCM_CLEAR, TYPE, TABLE,
                 SECS_SET, SECS_CLEAR, XCR0 };
struct edit { enum edit_kind kind; uint64_t where, value; };

struct row {
    const char *name;
    int kind;
    enum situation situation;
    uint32_t leaf;
    struct edit edit[3];
    int vector;             /* of the fault; SUCCEEDS */
    uint32_t error_code;
    uint64_t address;       /* of a #PF, relative to the enclave */
    uint64_t rax;           /* SUCCEEDS of EGETKEY */
};
#define SUCCEEDS (-1)

#define T(field) offsetof(struct sgx_tcs, field)
#define G(frame, field) \
    (FX_SSA + (frame) * 0x1000 + 0x1000 - sizeof(struct sgx_gprsgx) + offsetof(struct sgx_gprsgx, field))
#define K(field) (OP_KEYREQUEST + offsetof(struct sgx_keyrequest, field))
#define FAULT_GP .vector = SGX_VEC_GP
#define FAULT_PF(code, at) .vector = SGX_VEC_PF, .error_code = (code), .address = (at)
#define OK .vector = SUCCEEDS

/* #PF error codes: U always. */
#define NOT_PRESENT SGX_PFEC_U
#define NOT_PRESENT_W (SGX_PFEC_U | SGX_PFEC_W)
#define TABLE_W (SGX_PFEC_U | SGX_PFEC_W | SGX_PFEC_P)
#define EPC_R (SGX_PFEC_U | SGX_PFEC_P | SGX_PFEC_SGX)
#define EPC_W (EPC_R | SGX_PFEC_W)
#define NOT_CANONICAL 0x0000800000000000ull
#define LARGE(frame, page) (FX_SSA2 + ((frame) * 3 + (page)) * 0x1000)

static void write_memory(struct fx *fx, uint64_t offset, uint64_t value, size_t size)
{
    memcpy(sgx_enclave_alias(fx->enclave) + offset, &value, size);
}

static void apply(struct fx *fx, const struct edit *e)
{
    uint64_t page = sgx_enclave_base(fx->enclave) + e->where;

    switch (e->kind) {
    case NONE: break;
    case GPR: fx->cpu.gpr[e->where] = e->value; break;
    case GPR_REL: fx->cpu.gpr[e->where] = sgx_enclave_base(fx->enclave) + e->value; break;
    case TCS64: write_memory(fx, FX_TCS + e->where, e->value, 8); break;
    case TCS32: write_memory(fx, FX_TCS + e->where, e->value, 4); break;
    case MEM64: write_memory(fx, e->where, e->value, 8); break;
    case MEM32: write_memory(fx, e->where, e->value, 4); break;
    case MEM16: write_memory(fx, e->where, e->value, 2); break;
    case MEM8: write_memory(fx, e->where, e->value, 1); break;
    case EPCM_SET: sgx_epcm_update(fx->enclave, page, 0, (uint32_t)e->value); break;
    case EPCM_CLEAR: sgx_epcm_update(fx->enclave, page, (uint32_t)e->value, 0); break;
    case TYPE: sgx_epcm_update(fx->enclave, page, 0xff00u, (uint32_t)e->value << 8); break;
    case TABLE: assert_int_equal(softsgx_protect(fx->enclave, page, SGX_PAGE_SIZE, (int)e->value), 0); break;
    case SECS_SET: fx->enclave->secs.attributes.flags |= e->value; break;
    case SECS_CLEAR: fx->enclave->secs.attributes.flags &= ~e->value; break;
    case XCR0: fx->cpu.xcr0 = e->value; break;
    }
}

static void run_without_edit(const struct row *row)
{
    struct fx fx;

    bring_to(&fx, row->kind, row->situation);
    if (row->leaf == SGX_EGETKEY)
        fx.cpu.gpr[SGX_RBX] = FX_BASE + OP_KEYREQUEST;
    if (!fx_leaf(&fx, row->leaf))
        fail_msg("%s: fails without the edit too (fault %u)", row->name, fx.fault.vector);
    fx_close(&fx);
}

static void run_row(const struct row *row)
{
    bool breaks = row->edit[0].kind != NONE && row->vector != SUCCEEDS;
    struct machine *before;
    struct fx fx;
    bool done;

    conformance_row(row->name);
    if (breaks)
        run_without_edit(row);
    bring_to(&fx, row->kind, row->situation);
    if (row->leaf == SGX_EGETKEY)
        fx.cpu.gpr[SGX_RBX] = FX_BASE + OP_KEYREQUEST;
    for (size_t i = 0; i < sizeof(row->edit) / sizeof(row->edit[0]); i++)
        apply(&fx, &row->edit[i]);
    fx.cpu.gpr[SGX_RAX] = row->leaf;
    before = machine_capture(&fx);
    done = fx_leaf(&fx, row->leaf);
    if (row->vector == SUCCEEDS) {
        if (!done)
            fail_msg("%s: fault %u, error code 0x%x", row->name, fx.fault.vector, fx.fault.error_code);
        if (row->leaf == SGX_EGETKEY) {
            assert_int_equal(fx.cpu.gpr[SGX_RAX], row->rax);
            assert_int_equal(!!(fx.cpu.rflags & SGX_FL_ZF), row->rax != 0);
        }
    } else {
        uint64_t address = row->vector == SGX_VEC_PF ? FX_BASE + row->address : 0;

        if (done)
            fail_msg("%s: succeeds", row->name);
        if (fx.fault.vector != row->vector || fx.fault.error_code != row->error_code || fx.fault.address != address)
            fail_msg("%s: fault %u, error code 0x%x, address 0x%llx; should be %d, 0x%x, 0x%llx", row->name,
                     fx.fault.vector, fx.fault.error_code, (unsigned long long)fx.fault.address, row->vector,
                     row->error_code, (unsigned long long)address);
        machine_expect(&fx, before, row->name);
    }
    free(before);
    fx_close(&fx);
}

#define RUN(table) \
    do { \
        (void)state; \
        for (size_t i_ = 0; i_ < sizeof(table) / sizeof(table[0]); i_++) \
            run_row(&table[i_]); \
    } while (0)

#define EDIT(...) .edit = { __VA_ARGS__ }

static const struct row dispatch[] = {
    { "EREPORT outside", KIND_PLAIN, OUTSIDE, 0, FAULT_GP },
    { "EGETKEY outside", KIND_PLAIN, OUTSIDE, 1, FAULT_GP },
    { "EEXIT outside", KIND_PLAIN, OUTSIDE, 4, FAULT_GP },
    { "EACCEPT outside", KIND_PLAIN, OUTSIDE, 5, FAULT_GP },
    { "EMODPE outside", KIND_PLAIN, OUTSIDE, 6, FAULT_GP },
    { "EACCEPTCOPY outside", KIND_PLAIN, OUTSIDE, 7, FAULT_GP },
    { "EVERIFYREPORT2 outside", KIND_PLAIN, OUTSIDE, 8, FAULT_GP },
    { "EDECCSSA outside", KIND_PLAIN, OUTSIDE, 9, FAULT_GP },
    { "leaf 10 outside", KIND_PLAIN, OUTSIDE, 10, FAULT_GP },
    { "leaf 0xffffffff outside", KIND_PLAIN, OUTSIDE, 0xffffffff, FAULT_GP },
    { "EENTER inside", KIND_PLAIN, INSIDE, 2, FAULT_GP },
    { "ERESUME inside", KIND_PLAIN, INSIDE, 3, FAULT_GP },
    { "EVERIFYREPORT2 inside, not enumerated", KIND_PLAIN, INSIDE, 8, FAULT_GP },
    { "leaf 10 inside", KIND_PLAIN, INSIDE, 10, FAULT_GP },
    { "leaf 0x80000002 outside", KIND_PLAIN, OUTSIDE, 0x80000002, FAULT_GP },
};

void test_dispatch(void **state)
{
    struct fx fx;

    RUN(dispatch);
    conformance_row("the leaf is EAX, not RAX");
    fx_open(&fx, &kinds[KIND_PLAIN]);
    fx.cpu.gpr[SGX_RAX] = 0xabcd00000002ull;
    assert_true(sgx_enclu(&fx.cpu, &fx.fault));
    fx_close(&fx);
}

/* Checks that EENTER and ERESUME share, as rows for a leaf in a situation. */
#define ENTRY_ROWS(leafname, kind, kind_notify, situation, leaf) \
    { leafname ": RBX not page aligned", kind, situation, leaf, EDIT({ GPR_REL, SGX_RBX, 0x800 }), FAULT_GP }, \
    { leafname ": RBX outside every enclave", kind, situation, leaf, EDIT({ GPR_REL, SGX_RBX, FX_SIZE }), \
      FAULT_PF(EPC_R, FX_SIZE) }, \
    { leafname ": RBX on a page never added", kind, situation, leaf, EDIT({ GPR_REL, SGX_RBX, FX_HOLE }), \
      FAULT_PF(NOT_PRESENT_W, FX_HOLE) }, \
    { leafname ": RBX on a REG page", kind, situation, leaf, EDIT({ GPR_REL, SGX_RBX, FX_DATA }), \
      FAULT_PF(EPC_R, FX_DATA) }, \
    { leafname ": RCX not canonical", kind, situation, leaf, EDIT({ GPR, SGX_RCX, NOT_CANONICAL }), FAULT_GP }, \
    { leafname ": RCX not canonical, high", kind, situation, leaf, EDIT({ GPR, SGX_RCX, 0xffff7fffffffffffull }), \
      FAULT_GP }, \
    { leafname ": RCX canonical, high half", kind, situation, leaf, EDIT({ GPR, SGX_RCX, 0xffff800000000000ull }), \
      OK }, \
    { leafname ": RCX highest user address", kind, situation, leaf, EDIT({ GPR, SGX_RCX, 0x00007fffffffffffull }), \
      OK }, \
    { leafname ": TCS not VALID", kind, situation, leaf, EDIT({ EPCM_CLEAR, FX_TCS, EPCM_VALID }), \
      FAULT_PF(NOT_PRESENT_W, FX_TCS) }, \
    { leafname ": TCS BLOCKED", kind, situation, leaf, EDIT({ EPCM_SET, FX_TCS, EPCM_BLOCKED }), \
      FAULT_PF(EPC_R, FX_TCS) }, \
    { leafname ": TCS PENDING", kind, situation, leaf, EDIT({ EPCM_SET, FX_TCS, EPCM_PENDING }), \
      FAULT_PF(EPC_R, FX_TCS) }, \
    { leafname ": TCS MODIFIED", kind, situation, leaf, EDIT({ EPCM_SET, FX_TCS, EPCM_MODIFIED }), \
      FAULT_PF(EPC_R, FX_TCS) }, \
    { leafname ": TCS page type TRIM", kind, situation, leaf, EDIT({ TYPE, FX_TCS, SGX_PT_TRIM }), \
      FAULT_PF(EPC_R, FX_TCS) }, \
    { leafname ": page table has no TCS", kind, situation, leaf, EDIT({ TABLE, FX_TCS, 0 }), \
      FAULT_PF(NOT_PRESENT_W, FX_TCS) }, \
    { leafname ": page table has TCS read-only", kind, situation, leaf, EDIT({ TABLE, FX_TCS, 1 }), \
      FAULT_PF(TABLE_W, FX_TCS) }, \
    { leafname ": OSSA not aligned", kind, situation, leaf, EDIT({ TCS64, T(ossa), FX_SSA + 8 }), FAULT_GP }, \
    { leafname ": OFSBASE not aligned", kind, situation, leaf, EDIT({ TCS64, T(ofsbase), FX_TLS + 1 }), FAULT_GP }, \
    { leafname ": OGSBASE not aligned", kind, situation, leaf, EDIT({ TCS64, T(ogsbase), FX_TLS + 0x800 }), \
      FAULT_GP }, \
    { leafname ": TCS.FLAGS bit 2", kind, situation, leaf, EDIT({ TCS64, T(flags), 1 << 2 }), FAULT_GP }, \
    { leafname ": TCS.FLAGS bit 63", kind, situation, leaf, EDIT({ TCS64, T(flags), 1ull << 63 }), FAULT_GP }, \
    { leafname ": enclave not initialised", kind, situation, leaf, EDIT({ SECS_CLEAR, 0, SGX_ATTR_INIT }), FAULT_GP }, \
    { leafname ": 32-bit enclave", kind, situation, leaf, EDIT({ SECS_CLEAR, 0, SGX_ATTR_MODE64BIT }), FAULT_GP }, \
    { leafname ": XFRM beyond XCR0", kind, situation, leaf, EDIT({ XCR0, 0, 1 }), FAULT_GP }, \
    { leafname ": TCS.AEXNOTIFY without the attribute", kind, situation, leaf, \
      EDIT({ TCS64, T(flags), SGX_TCS_AEXNOTIFY }), FAULT_GP }, \
    { leafname ": attribute without TCS.AEXNOTIFY", kind_notify, situation, leaf, EDIT({ TCS64, T(flags), 0 }), \
      FAULT_GP }, \
    { leafname ": TCS.AEXNOTIFY without the attribute, opt-in", kind, situation, leaf, \
      EDIT({ TCS64, T(flags), SGX_TCS_AEXNOTIFY | SGX_TCS_DBGOPTIN }), OK }, \
    { leafname ": attribute without TCS.AEXNOTIFY, opt-in", kind_notify, situation, leaf, \
      EDIT({ TCS64, T(flags), SGX_TCS_DBGOPTIN }), OK }, \
    { leafname ": TCS ACTIVE", kind, situation, leaf, EDIT({ TCS64, T(state), SGX_TCS_ACTIVE }), FAULT_GP }

/* Checks of the pages of one SSA frame at page offset "at". */
#define FRAME_ROWS(leafname, kind, situation, leaf, at) \
    { leafname ": frame not VALID", kind, situation, leaf, EDIT({ EPCM_CLEAR, at, EPCM_VALID }), \
      FAULT_PF(NOT_PRESENT, at) }, \
    { leafname ": frame BLOCKED", kind, situation, leaf, EDIT({ EPCM_SET, at, EPCM_BLOCKED }), FAULT_PF(EPC_R, at) }, \
    { leafname ": frame PENDING", kind, situation, leaf, EDIT({ EPCM_SET, at, EPCM_PENDING }), FAULT_PF(EPC_R, at) }, \
    { leafname ": frame MODIFIED", kind, situation, leaf, EDIT({ EPCM_SET, at, EPCM_MODIFIED }), \
      FAULT_PF(EPC_R, at) }, \
    { leafname ": frame page type TCS", kind, situation, leaf, EDIT({ TYPE, at, SGX_PT_TCS }), FAULT_PF(EPC_R, at) }, \
    { leafname ": frame page type TRIM", kind, situation, leaf, EDIT({ TYPE, at, SGX_PT_TRIM }), \
      FAULT_PF(EPC_R, at) }, \
    { leafname ": EPCM denies reading the frame", kind, situation, leaf, EDIT({ EPCM_CLEAR, at, EPCM_R | EPCM_W }), \
      FAULT_PF(EPC_R, at) }, \
    { leafname ": EPCM denies writing the frame", kind, situation, leaf, EDIT({ EPCM_CLEAR, at, EPCM_W }), \
      FAULT_PF(EPC_W, at) }, \
    { leafname ": page table has no frame", kind, situation, leaf, EDIT({ TABLE, at, 0 }), \
      FAULT_PF(NOT_PRESENT, at) }, \
    { leafname ": page table has the frame read-only", kind, situation, leaf, EDIT({ TABLE, at, 1 }), \
      FAULT_PF(TABLE_W, at) }

static const struct row eenter[] = {
    ENTRY_ROWS("EENTER", KIND_PLAIN, KIND_NOTIFY, OUTSIDE, SGX_EENTER),
    FRAME_ROWS("EENTER", KIND_PLAIN, OUTSIDE, SGX_EENTER, FX_SSA),
    { "EENTER: CSSA = NSSA", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS32, T(cssa), FX_NSSA }), FAULT_GP },
    { "EENTER: CSSA > NSSA", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS32, T(cssa), 0xffffffff }), FAULT_GP },
    { "EENTER: NSSA = 0", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS32, T(nssa), 0 }), FAULT_GP },
    { "EENTER: last frame", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS32, T(cssa), FX_NSSA - 1 }), OK },
    { "EENTER: frame beyond ELRANGE", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(ossa), FX_SIZE }),
      FAULT_PF(EPC_R, FX_SIZE) },
    { "EENTER: frame below ELRANGE", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(ossa), -0x1000ull }),
      FAULT_PF(EPC_R, -0x1000ull) },
    { "EENTER: frame on a page never added", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(ossa), FX_HOLE }),
      FAULT_PF(NOT_PRESENT, FX_HOLE) },
    { "EENTER: frame of CSSA 1 broken, CSSA 0", KIND_PLAIN, OUTSIDE, 2,
      EDIT({ EPCM_CLEAR, FX_SSA + 0x1000, EPCM_VALID }),
      OK },
    { "EENTER: frame of CSSA 1 broken, CSSA 1", KIND_PLAIN, INTERRUPTED, 2,
      EDIT({ EPCM_CLEAR, FX_SSA + 0x1000, EPCM_VALID }), FAULT_PF(NOT_PRESENT, FX_SSA + 0x1000) },
    { "EENTER: large frame, XSAVE page", KIND_LARGE, OUTSIDE, 2, EDIT({ EPCM_SET, LARGE(0, 0), EPCM_PENDING }),
      FAULT_PF(EPC_R, LARGE(0, 0)) },
    { "EENTER: large frame, GPR page", KIND_LARGE, OUTSIDE, 2, EDIT({ EPCM_SET, LARGE(0, 2), EPCM_PENDING }),
      FAULT_PF(EPC_R, LARGE(0, 2)) },
    { "EENTER: large frame, unused page", KIND_LARGE, OUTSIDE, 2, EDIT({ EPCM_SET, LARGE(0, 1), EPCM_PENDING }), OK },
    { "EENTER: OENTRY not canonical", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(oentry), NOT_CANONICAL }), FAULT_GP },
    { "EENTER: OFSBASE not canonical", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(ofsbase), NOT_CANONICAL }), FAULT_GP },
    { "EENTER: OGSBASE not canonical", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(ogsbase), NOT_CANONICAL }), FAULT_GP },
    { "EENTER: OENTRY outside ELRANGE is not checked", KIND_PLAIN, OUTSIDE, 2, EDIT({ TCS64, T(oentry), FX_SIZE }),
      OK },
    { "EENTER: alignment before AEP", KIND_PLAIN, OUTSIDE, 2,
      EDIT({ GPR_REL, SGX_RBX, FX_HOLE }, { GPR, SGX_RCX, NOT_CANONICAL }), FAULT_PF(NOT_PRESENT_W, FX_HOLE) },
    { "EENTER: AEP before EPCM", KIND_PLAIN, OUTSIDE, 2,
      EDIT({ EPCM_SET, FX_TCS, EPCM_PENDING }, { GPR, SGX_RCX, NOT_CANONICAL }), FAULT_GP },
    { "EENTER: frame before STATE", KIND_PLAIN, OUTSIDE, 2,
      EDIT({ TCS64, T(state), SGX_TCS_ACTIVE }, { EPCM_SET, FX_SSA, EPCM_PENDING }), FAULT_PF(EPC_R, FX_SSA) },
};

void test_eenter(void **state)
{
    RUN(eenter);
}

#define XSTATE(frame, offset) (FX_SSA + (frame) * 0x1000 + (offset))

static const struct row eresume[] = {
    ENTRY_ROWS("ERESUME", KIND_PLAIN, KIND_NOTIFY, INTERRUPTED, SGX_ERESUME),
    FRAME_ROWS("ERESUME", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, FX_SSA),
    FRAME_ROWS("morph, its own frame", KIND_NOTIFY, NOTIFY, SGX_ERESUME, FX_SSA),
    FRAME_ROWS("morph, the next frame", KIND_NOTIFY, NOTIFY, SGX_ERESUME, FX_SSA + 0x1000),
    { "ERESUME: CSSA = 0", KIND_PLAIN, INTERRUPTED, 3, EDIT({ TCS32, T(cssa), 0 }), FAULT_GP },
    { "ERESUME: CSSA = NSSA", KIND_PLAIN, INTERRUPTED, 3, EDIT({ TCS32, T(nssa), 1 }), OK },
    { "ERESUME: the next frame does not matter", KIND_PLAIN, INTERRUPTED, 3,
      EDIT({ EPCM_SET, FX_SSA + 0x1000, EPCM_PENDING }), OK },
    { "ERESUME: frame beyond ELRANGE", KIND_PLAIN, INTERRUPTED, 3, EDIT({ TCS64, T(ossa), FX_SIZE }),
      FAULT_PF(EPC_R, FX_SIZE) },
    { "ERESUME: large frame, XSAVE page", KIND_LARGE, INTERRUPTED, 3, EDIT({ EPCM_SET, LARGE(0, 0), EPCM_MODIFIED }),
      FAULT_PF(EPC_R, LARGE(0, 0)) },
    { "ERESUME: large frame, GPR page", KIND_LARGE, INTERRUPTED, 3, EDIT({ EPCM_SET, LARGE(0, 2), EPCM_MODIFIED }),
      FAULT_PF(EPC_R, LARGE(0, 2)) },
    { "ERESUME: large frame, unused page", KIND_LARGE, INTERRUPTED, 3,
      EDIT({ EPCM_SET, LARGE(0, 1), EPCM_MODIFIED }), OK },
    { "ERESUME: RIP not canonical", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, G(0, rip), NOT_CANONICAL }), FAULT_GP },
    { "ERESUME: FSBASE not canonical", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, G(0, fsbase), NOT_CANONICAL }),
      FAULT_GP },
    { "ERESUME: GSBASE not canonical", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, G(0, gsbase), NOT_CANONICAL }),
      FAULT_GP },
    { "ERESUME: OENTRY not canonical", KIND_PLAIN, INTERRUPTED, 3, EDIT({ TCS64, T(oentry), NOT_CANONICAL }), OK },
    { "ERESUME: OFSBASE not canonical", KIND_PLAIN, INTERRUPTED, 3, EDIT({ TCS64, T(ofsbase), NOT_CANONICAL }), OK },
    { "ERESUME: XSTATE_BV beyond XFRM", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, XSTATE(0, 512), 7 }), FAULT_GP },
    { "ERESUME: XSTATE_BV bit 63", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, XSTATE(0, 512), 1ull << 63 | 3 }),
      FAULT_GP },
    { "ERESUME: XCOMP_BV", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, XSTATE(0, 520), 1ull << 63 }), FAULT_GP },
    { "ERESUME: XSAVE header byte 16", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM8, XSTATE(0, 528), 1 }), FAULT_GP },
    { "ERESUME: XSAVE header byte 23", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM8, XSTATE(0, 535), 1 }), FAULT_GP },
    { "ERESUME: XSAVE header byte 24", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM8, XSTATE(0, 536), 1 }), OK },
    { "ERESUME: MXCSR bit 16", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM32, XSTATE(0, 24), 0x11f80 }), FAULT_GP },
    { "ERESUME: MXCSR bit 31, SSE not in XSTATE_BV", KIND_PLAIN, INTERRUPTED, 3,
      EDIT({ MEM32, XSTATE(0, 24), 0x80001f80 }, { MEM64, XSTATE(0, 512), 0 }), FAULT_GP },
    { "ERESUME: XSTATE_BV = 0", KIND_PLAIN, INTERRUPTED, 3, EDIT({ MEM64, XSTATE(0, 512), 0 }), OK },
    { "morph: CSSA = NSSA", KIND_NOTIFY, NOTIFY, 3, EDIT({ TCS32, T(nssa), 1 }), FAULT_GP },
    { "morph: OENTRY not canonical", KIND_NOTIFY, NOTIFY, 3, EDIT({ TCS64, T(oentry), NOT_CANONICAL }), FAULT_GP },
    { "morph: OFSBASE not canonical", KIND_NOTIFY, NOTIFY, 3, EDIT({ TCS64, T(ofsbase), NOT_CANONICAL }), FAULT_GP },
    { "morph: OGSBASE not canonical", KIND_NOTIFY, NOTIFY, 3, EDIT({ TCS64, T(ogsbase), NOT_CANONICAL }), FAULT_GP },
    { "morph: TCS ACTIVE", KIND_NOTIFY, NOTIFY, 3, EDIT({ TCS64, T(state), SGX_TCS_ACTIVE }), FAULT_GP },
    { "morph: CSSA = 0", KIND_NOTIFY, NOTIFY, 3, EDIT({ TCS32, T(cssa), 0 }), FAULT_GP },
    { "morph: saved RIP is not looked at", KIND_NOTIFY, NOTIFY, 3, EDIT({ MEM64, G(0, rip), NOT_CANONICAL }), OK },
    { "morph: saved bases are not looked at", KIND_NOTIFY, NOTIFY, 3,
      EDIT({ MEM64, G(0, fsbase), NOT_CANONICAL }, { MEM64, G(0, gsbase), NOT_CANONICAL }), OK },
    { "morph: XSAVE image is not looked at", KIND_NOTIFY, NOTIFY, 3, EDIT({ MEM64, XSTATE(0, 512), ~0ull }), OK },
    { "morph: large next frame, XSAVE page", KIND_NOTIFY_LARGE, INTERRUPTED, 3,
      EDIT({ MEM8, LARGE(0, 2) + 0x1000 - 184 + 167, 1 }, { EPCM_SET, LARGE(1, 0), EPCM_PENDING }),
      FAULT_PF(EPC_R, LARGE(1, 0)) },
    { "morph: large next frame, GPR page", KIND_NOTIFY_LARGE, INTERRUPTED, 3,
      EDIT({ MEM8, LARGE(0, 2) + 0x1000 - 184 + 167, 1 }, { EPCM_SET, LARGE(1, 2), EPCM_PENDING }),
      FAULT_PF(EPC_R, LARGE(1, 2)) },
    { "morph: large next frame, unused page", KIND_NOTIFY_LARGE, INTERRUPTED, 3,
      EDIT({ MEM8, LARGE(0, 2) + 0x1000 - 184 + 167, 1 }, { EPCM_SET, LARGE(1, 1), EPCM_PENDING }), OK },
};

void test_eresume(void **state)
{
    RUN(eresume);
}

static const struct row exits[] = {
    { "EEXIT: RBX not canonical", KIND_PLAIN, INSIDE, 4, EDIT({ GPR, SGX_RBX, NOT_CANONICAL }), FAULT_GP },
    { "EEXIT: RBX not canonical, high", KIND_PLAIN, INSIDE, 4, EDIT({ GPR, SGX_RBX, 0x8000000000000000ull }),
      FAULT_GP },
    { "EEXIT: RBX in the enclave", KIND_PLAIN, INSIDE, 4, EDIT({ GPR_REL, SGX_RBX, FX_CODE }), OK },
    { "EEXIT: at CSSA 1", KIND_PLAIN, INSIDE_1, 4, EDIT({ GPR, SGX_RBX, FX_RIP }), OK },
    FRAME_ROWS("EDECCSSA", KIND_PLAIN, INSIDE_1, SGX_EDECCSSA, FX_SSA),
    { "EDECCSSA: CSSA = 0", KIND_PLAIN, INSIDE, 9, FAULT_GP },
    { "EDECCSSA: the frame left behind does not matter", KIND_PLAIN, INSIDE_1, 9,
      EDIT({ EPCM_SET, FX_SSA + 0x1000, EPCM_PENDING }), OK },
    { "EDECCSSA: large frame, XSAVE page", KIND_LARGE, INSIDE_1, 9, EDIT({ EPCM_SET, LARGE(0, 0), EPCM_BLOCKED }),
      FAULT_PF(EPC_R, LARGE(0, 0)) },
    { "EDECCSSA: large frame, GPR page", KIND_LARGE, INSIDE_1, 9, EDIT({ EPCM_SET, LARGE(0, 2), EPCM_BLOCKED }),
      FAULT_PF(EPC_R, LARGE(0, 2)) },
    { "EDECCSSA: large frame, unused page", KIND_LARGE, INSIDE_1, 9, EDIT({ EPCM_SET, LARGE(0, 1), EPCM_BLOCKED }),
      OK },
};

void test_eexit_edeccssa(void **state)
{
    RUN(exits);
}

/* Checks of a memory operand: register, page, what it lies in. */
#define OPERAND_ROWS(leafname, leaf, reg, at, misaligned) \
    { leafname " not aligned", KIND_PLAIN, INSIDE, leaf, EDIT({ GPR_REL, reg, (at) + (misaligned) }), FAULT_GP }, \
    { leafname " above ELRANGE", KIND_PLAIN, INSIDE, leaf, EDIT({ GPR_REL, reg, FX_SIZE }), FAULT_GP }, \
    { leafname " below ELRANGE", KIND_PLAIN, INSIDE, leaf, EDIT({ GPR_REL, reg, -0x1000ull }), FAULT_GP }, \
    { leafname " on a page never added", KIND_PLAIN, INSIDE, leaf, EDIT({ GPR_REL, reg, FX_HOLE }), \
      FAULT_PF(NOT_PRESENT, FX_HOLE) }, \
    { leafname " on a TCS", KIND_PLAIN, INSIDE, leaf, EDIT({ GPR_REL, reg, FX_TCS2 }), FAULT_PF(EPC_R, FX_TCS2) }, \
    { leafname " page without rights", KIND_PLAIN, INSIDE, leaf, EDIT({ GPR_REL, reg, FX_NONE }), \
      FAULT_PF(EPC_R, FX_NONE) }, \
    { leafname " page PENDING", KIND_PLAIN, INSIDE, leaf, EDIT({ EPCM_SET, at, EPCM_PENDING }), FAULT_PF(EPC_R, at) }, \
    { leafname " page MODIFIED", KIND_PLAIN, INSIDE, leaf, EDIT({ EPCM_SET, at, EPCM_MODIFIED }), \
      FAULT_PF(EPC_R, at) }, \
    { leafname " page BLOCKED", KIND_PLAIN, INSIDE, leaf, EDIT({ EPCM_SET, at, EPCM_BLOCKED }), FAULT_PF(EPC_R, at) }, \
    { leafname " page not in the page table", KIND_PLAIN, INSIDE, leaf, EDIT({ TABLE, at, 0 }), \
      FAULT_PF(NOT_PRESENT, at) }

static const struct row ereport[] = {
    OPERAND_ROWS("EREPORT: TARGETINFO", 0, SGX_RBX, OP_RBX, 0x100),
    OPERAND_ROWS("EREPORT: REPORTDATA", 0, SGX_RCX, OP_RCX, 0x40),
    OPERAND_ROWS("EREPORT: output", 0, SGX_RDX, OP_RDX, 0x100),
    { "EREPORT: EPCM denies writing the output", KIND_PLAIN, INSIDE, 0, EDIT({ EPCM_CLEAR, OP_RDX, EPCM_W }),
      FAULT_PF(EPC_W, OP_RDX) },
    { "EREPORT: page table denies writing the output", KIND_PLAIN, INSIDE, 0, EDIT({ TABLE, OP_RDX, 1 }),
      FAULT_PF(TABLE_W, OP_RDX) },
    { "EREPORT: inputs may be read-only", KIND_PLAIN, INSIDE, 0,
      EDIT({ EPCM_CLEAR, OP_RBX, EPCM_W }, { EPCM_CLEAR, OP_RCX, EPCM_W }), OK },
    { "EREPORT: TARGETINFO byte 49", KIND_PLAIN, INSIDE, 0, EDIT({ MEM8, OP_RBX + 49, 1 }), FAULT_GP },
    { "EREPORT: TARGETINFO byte 56", KIND_PLAIN, INSIDE, 0, EDIT({ MEM8, OP_RBX + 56, 1 }), FAULT_GP },
    { "EREPORT: TARGETINFO byte 128", KIND_PLAIN, INSIDE, 0, EDIT({ MEM8, OP_RBX + 128, 1 }), FAULT_GP },
    { "EREPORT: TARGETINFO byte 511", KIND_PLAIN, INSIDE, 0, EDIT({ MEM8, OP_RBX + 511, 0x80 }), FAULT_GP },
    { "EREPORT: TARGETINFO of nobody", KIND_PLAIN, INSIDE, 0, EDIT({ MEM64, OP_RBX, 0x1234 }), OK },
};

void test_ereport(void **state)
{
    RUN(ereport);
}

#define CODE(code) .vector = SUCCEEDS, .rax = (code)

static const struct row egetkey[] = {
    OPERAND_ROWS("EGETKEY: KEYREQUEST", 1, SGX_RBX, OP_KEYREQUEST, 0x100),
    OPERAND_ROWS("EGETKEY: output", 1, SGX_RCX, OP_RCX, 8),
    { "EGETKEY: EPCM denies writing the output", KIND_PLAIN, INSIDE, 1, EDIT({ EPCM_CLEAR, OP_RCX, EPCM_W }),
      FAULT_PF(EPC_W, OP_RCX) },
    { "EGETKEY: page table denies writing the output", KIND_PLAIN, INSIDE, 1, EDIT({ TABLE, OP_RCX, 1 }),
      FAULT_PF(TABLE_W, OP_RCX) },
    { "EGETKEY: KEYREQUEST may be read-only", KIND_PLAIN, INSIDE, 1, EDIT({ EPCM_CLEAR, OP_KEYREQUEST, EPCM_W }),
      CODE(0) },
    { "EGETKEY: reserved field at 6", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(reserved1), 1 }), FAULT_GP },
    { "EGETKEY: reserved field at 78", KIND_PLAIN, INSIDE, 1, EDIT({ MEM8, K(reserved2), 1 }), FAULT_GP },
    { "EGETKEY: reserved field at 511", KIND_PLAIN, INSIDE, 1, EDIT({ MEM8, K(reserved2) + 433, 1 }), FAULT_GP },
    { "EGETKEY: KEYPOLICY bit 6", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x40 }), FAULT_GP },
    { "EGETKEY: KEYPOLICY bit 15", KIND_KSS, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x8000 }), FAULT_GP },
    { "EGETKEY: NOISVPRODID without KSS", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x04 }), FAULT_GP },
    { "EGETKEY: CONFIGID without KSS", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x08 }), FAULT_GP },
    { "EGETKEY: ISVFAMILYID without KSS", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x10 }), FAULT_GP },
    { "EGETKEY: ISVEXTPRODID without KSS", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x20 }), FAULT_GP },
    { "EGETKEY: all policies with KSS", KIND_KSS, INSIDE, 1, EDIT({ MEM16, K(keypolicy), 0x3f }), CODE(0) },
    { "EGETKEY: CONFIGSVN without KSS", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(configsvn), 1 }), FAULT_GP },
    { "EGETKEY: CONFIGSVN above the enclave's", KIND_KSS, INSIDE, 1, EDIT({ MEM16, K(configsvn), 1 }),
      CODE(SGX_INVALID_ISVSVN) },
    { "EGETKEY: ISVSVN above the enclave's", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(isvsvn), 5 }),
      CODE(SGX_INVALID_ISVSVN) },
    { "EGETKEY: ISVSVN of the enclave", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(isvsvn), 4 }), CODE(0) },
    { "EGETKEY: CPUSVN of another processor", KIND_PLAIN, INSIDE, 1, EDIT({ MEM8, K(cpusvn) + 15, 0 }),
      CODE(SGX_INVALID_CPUSVN) },
    { "EGETKEY: oldest CPUSVN", KIND_PLAIN, INSIDE, 1, EDIT({ MEM64, K(cpusvn), 0 }, { MEM64, K(cpusvn) + 8, 0 }),
      CODE(0) },
    { "EGETKEY: CPUSVN before ISVSVN", KIND_PLAIN, INSIDE, 1, EDIT({ MEM8, K(cpusvn), 0 }, { MEM16, K(isvsvn), 5 }),
      CODE(SGX_INVALID_CPUSVN) },
    { "EGETKEY: KEYNAME 5", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keyname), 5 }), CODE(SGX_INVALID_KEYNAME) },
    { "EGETKEY: KEYNAME 0xffff", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keyname), 0xffff }),
      CODE(SGX_INVALID_KEYNAME) },
    { "EGETKEY: EINITTOKEN without the attribute", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keyname), 0 }),
      CODE(SGX_INVALID_ATTRIBUTE) },
    { "EGETKEY: PROVISION without the attribute", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keyname), 1 }),
      CODE(SGX_INVALID_ATTRIBUTE) },
    { "EGETKEY: PROVISION_SEAL without the attribute", KIND_PLAIN, INSIDE, 1, EDIT({ MEM16, K(keyname), 2 }),
      CODE(SGX_INVALID_ATTRIBUTE) },
    { "EGETKEY: EINITTOKEN", KIND_PLAIN, INSIDE, 1,
      EDIT({ MEM16, K(keyname), 0 }, { SECS_SET, 0, SGX_ATTR_EINITTOKENKEY }), CODE(0) },
    { "EGETKEY: PROVISION", KIND_PLAIN, INSIDE, 1,
      EDIT({ MEM16, K(keyname), 1 }, { SECS_SET, 0, SGX_ATTR_PROVISIONKEY }),
      CODE(0) },
    { "EGETKEY: PROVISION_SEAL, ISVSVN too high", KIND_PLAIN, INSIDE, 1,
      EDIT({ MEM16, K(keyname), 2 }, { SECS_SET, 0, SGX_ATTR_PROVISIONKEY }, { MEM16, K(isvsvn), 5 }),
      CODE(SGX_INVALID_ISVSVN) },
    { "EGETKEY: REPORT does not look at SVNs", KIND_PLAIN, INSIDE, 1,
      EDIT({ MEM16, K(keyname), 3 }, { MEM16, K(isvsvn), 0xffff }, { MEM8, K(cpusvn), 0 }), CODE(0) },
};

void test_egetkey(void **state)
{
    RUN(egetkey);
}
