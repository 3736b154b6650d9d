/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic memory: every check of EACCEPT, EACCEPTCOPY, EMODPE, EAUG, EMODPR, EMODT, EREMOVE, one row each. A row begins
 * with a situation in which the leaf succeeds, and that is tried; then the row's edits are made, and the fault, error code
 * or result must be exact and nothing else changed, in registers, EPC and EPCM. */
#include "softsgx_conformance.h"

#include <errno.h>
#include <stdlib.h>

#define TARGET  FX_HEAP
#define SOURCE  FX_RO
#define SECINFO (FX_DATA + 0x100)
#define REG  ((uint32_t)SGX_SECINFO_REG)
#define TCS  ((uint32_t)SGX_SECINFO_TCS)
#define TRIM ((uint32_t)SGX_SECINFO_TRIM)
#define RW   (EPCM_R | EPCM_W)
#define NEW  (EPCM_VALID | REG | RW | EPCM_PENDING)

enum op { ACCEPT_NEW, ACCEPT_PR, ACCEPT_TCS, ACCEPT_TRIM, EXTEND, COPY, AUG, MODPR, MODT_TCS, MODT_TRIM, REMOVE, OPS };

/* The situation in which each succeeds: the target's entry before and after, the SECINFO. */
static const struct { uint32_t leaf, before, after; uint64_t secinfo; } base[OPS] = {
    [ACCEPT_NEW] = { SGX_EACCEPT, NEW, EPCM_VALID | REG | RW, REG | RW | EPCM_PENDING },
    [ACCEPT_PR] = { SGX_EACCEPT, EPCM_VALID | REG | EPCM_R | EPCM_PR, EPCM_VALID | REG | EPCM_R, REG | EPCM_R | EPCM_PR },
    [ACCEPT_TCS] = { SGX_EACCEPT, EPCM_VALID | TCS | EPCM_MODIFIED, EPCM_VALID | TCS, TCS | EPCM_MODIFIED },
    [ACCEPT_TRIM] = { SGX_EACCEPT, EPCM_VALID | TRIM | EPCM_MODIFIED, EPCM_VALID | TRIM, TRIM | EPCM_MODIFIED },
    [EXTEND] = { SGX_EMODPE, EPCM_VALID | REG | EPCM_R, EPCM_VALID | REG | EPCM_R | EPCM_X, REG | EPCM_X },
    [COPY] = { SGX_EACCEPTCOPY, NEW, EPCM_VALID | REG | EPCM_R | EPCM_X, REG | EPCM_R | EPCM_X },
    [AUG] = { 0, 0, NEW, 0 },
    [MODPR] = { 0, EPCM_VALID | REG | RW, EPCM_VALID | REG | EPCM_R | EPCM_PR, EPCM_R },
    [MODT_TCS] = { 0, EPCM_VALID | REG | RW, EPCM_VALID | TCS | EPCM_MODIFIED, TCS },
    [MODT_TRIM] = { 0, EPCM_VALID | REG | RW, EPCM_VALID | TRIM | EPCM_MODIFIED, TRIM },
    [REMOVE] = { 0, EPCM_VALID | TRIM, 0, 0 },
};

enum edit_kind { NONE, GPR_REL, GPR, ADDRESS, FLAGS, RESERVED, SET, CLEAR, IS, TABLE, MEM64, MEM32, STAMPED, DRAINING, NO_INIT, OUT };
struct edit { enum edit_kind kind; uint64_t where, value; };

#define SUCCEEDS (-1)
struct row {
    const char *name;
    enum op op;
    struct edit edit[3];
    int vector;          /* ENCLU: of the fault, SUCCEEDS, or 0 with `code`. ENCLS: 0 */
    int code;            /* SGX error code; ENCLS: or -errno */
    uint32_t pfec;
    uint64_t at;         /* address of the #PF, relative to the enclave */
    uint32_t after;      /* SUCCEEDS: the target's entry, if it is not the base's */
};
#define EDIT(...) .edit = { __VA_ARGS__ }
#define GP .vector = SGX_VEC_GP
#define PF(error_code, address) .vector = SGX_VEC_PF, .pfec = (error_code), .at = (address)
#define CODE(number) .code = (number)
#define OK(entry) .vector = SUCCEEDS, .after = (entry)
#define NOT_PRESENT SGX_PFEC_U
#define TABLE_R (SGX_PFEC_U | SGX_PFEC_P)
#define EPC (SGX_PFEC_U | SGX_PFEC_P | SGX_PFEC_SGX)

static uint64_t target_address;

static void prepare(struct fx *fx, enum op op)
{
    struct sgx_secinfo secinfo = { .flags = base[op].secinfo };
    struct sgx_tcs tcs = { .ossa = FX_SSA, .nssa = 1, .oentry = FX_CODE, .ofsbase = FX_TLS, .ogsbase = FX_TLS };
    uint8_t *epc;

    bring_to(fx, KIND_PLAIN, INSIDE);
    epc = sgx_enclave_alias(fx->enclave);
    memcpy(epc + SECINFO, &secinfo, sizeof(secinfo));
    memset(epc + SOURCE, 0x77, 64);
    if (op == ACCEPT_TCS)
        memcpy(epc + TARGET, &tcs, sizeof(tcs));
    fx->cpu.gpr[SGX_RBX] = FX_BASE + SECINFO;
    fx->cpu.gpr[SGX_RCX] = FX_BASE + TARGET;
    fx->cpu.gpr[SGX_RDX] = FX_BASE + SOURCE;
    target_address = FX_BASE + TARGET;
    fx->enclave->epoch = 2; /* all that was changed in epoch 0 is tracked */
    sgx_epcm_update(fx->enclave, FX_BASE + TARGET, EPCM_SGX, base[op].before);
    if (op == REMOVE)
        epc[TARGET] = 1;
}

static void apply(struct fx *fx, const struct edit *e)
{
    uint8_t *epc = sgx_enclave_alias(fx->enclave);
    uint64_t page = FX_BASE + e->where;

    switch (e->kind) {
    case NONE: break;
    case GPR_REL: fx->cpu.gpr[e->where] = FX_BASE + e->value; break;
    case GPR: fx->cpu.gpr[e->where] = e->value; break;
    case ADDRESS: target_address = FX_BASE + e->value; break;
    case FLAGS: *(uint64_t *)(epc + SECINFO) ^= e->value; break;
    case RESERVED: epc[SECINFO + e->where] = 1; break;
    case SET: sgx_epcm_update(fx->enclave, page, 0, (uint32_t)e->value); break;
    case CLEAR: sgx_epcm_update(fx->enclave, page, (uint32_t)e->value, 0); break;
    case IS: sgx_epcm_update(fx->enclave, page, ~0u, (uint32_t)e->value); break;
    case TABLE: assert_int_equal(softsgx_protect(fx->enclave, page, SGX_PAGE_SIZE, (int)e->value), 0); break;
    case MEM64: memcpy(epc + e->where, &e->value, 8); break;
    case MEM32: memcpy(epc + e->where, &e->value, 4); break;
    case STAMPED: sgx_track_stamp(fx->enclave, FX_BASE + TARGET); break;
    case DRAINING: fx->enclave->epoch = 1, fx->enclave->inside[0] = 1; break;
    case NO_INIT: fx->enclave->secs.attributes.flags &= ~SGX_ATTR_INIT; break;
    case OUT: fx->enclave->inside[0] = fx->enclave->inside[1] = 0; break;
    }
}

static int privileged(struct fx *fx, enum op op)
{
    struct sgx_secinfo secinfo;

    memcpy(&secinfo, sgx_enclave_alias(fx->enclave) + SECINFO, sizeof(secinfo));
    switch (op) {
    case AUG: return sgx_eaug(fx->enclave, target_address);
    case MODPR: return sgx_emodpr(fx->enclave, target_address, &secinfo);
    case MODT_TCS:
    case MODT_TRIM: return sgx_emodt(fx->enclave, target_address, &secinfo);
    default: return sgx_eremove(fx->enclave, target_address);
    }
}

static void expect_target(const struct fx *fx, const struct row *row, struct machine *before)
{
    uint32_t *entry = &before->epcm[TARGET / SGX_PAGE_SIZE];

    *entry = (*entry & ~EPCM_SGX) | (row->after ? row->after : base[row->op].after);
    if (row->op == COPY)
        memcpy(before->epc + TARGET, before->epc + SOURCE, SGX_PAGE_SIZE);
    if (row->op == REMOVE)
        memset(before->epc + TARGET, 0, SGX_PAGE_SIZE);
    machine_expect(fx, before, row->name);
}

static void run_privileged(struct fx *fx, const struct row *row, struct machine *before)
{
    int result = privileged(fx, row->op);

    if (result != (row->vector == SUCCEEDS ? 0 : row->code))
        fail_msg("%s: result %d, should be %d", row->name, result, row->code);
    if (row->vector == SUCCEEDS)
        expect_target(fx, row, before);
    else
        machine_expect(fx, before, row->name);
}

static void run_enclu(struct fx *fx, const struct row *row, struct machine *before)
{
    const uint64_t cleared = SGX_FL_CF | SGX_FL_PF | SGX_FL_AF | SGX_FL_ZF | SGX_FL_SF | SGX_FL_OF;
    bool done = fx_leaf(fx, base[row->op].leaf);

    if (row->vector > 0) {
        uint64_t address = row->vector == SGX_VEC_PF ? FX_BASE + row->at : 0;
        if (done)
            fail_msg("%s: succeeds (RAX %llu)", row->name, (unsigned long long)fx->cpu.gpr[SGX_RAX]);
        if (fx->fault.vector != row->vector || fx->fault.error_code != row->pfec || fx->fault.address != address)
            fail_msg("%s: fault %u, error code 0x%x, address 0x%llx; should be %d, 0x%x, 0x%llx", row->name, fx->fault.vector,
                     fx->fault.error_code, (unsigned long long)fx->fault.address, row->vector, row->pfec,
                     (unsigned long long)address);
        machine_expect(fx, before, row->name);
        return;
    }
    if (!done)
        fail_msg("%s: fault %u, error code 0x%x", row->name, fx->fault.vector, fx->fault.error_code);
    before->cpu.rip += 3;
    if (base[row->op].leaf != SGX_EMODPE) {
        before->cpu.gpr[SGX_RAX] = (uint64_t)row->code;
        before->cpu.rflags = (before->cpu.rflags & ~cleared) | (row->code ? SGX_FL_ZF : 0);
    }
    if (row->vector == SUCCEEDS)
        expect_target(fx, row, before);
    else
        machine_expect(fx, before, row->name);
}

static void run_one(const struct row *row, bool edited)
{
    static const struct row plain = { .name = "without edits", .vector = SUCCEEDS };
    struct row unedited = plain;
    struct machine *before;
    struct fx fx;

    unedited.op = row->op;
    prepare(&fx, row->op);
    for (unsigned i = 0; edited && i < 3; i++)
        apply(&fx, &row->edit[i]);
    fx.cpu.gpr[SGX_RAX] = base[row->op].leaf;
    fx.cpu.rflags |= SGX_FL_CF | SGX_FL_SF | SGX_FL_OF;
    before = machine_capture(&fx);
    (base[row->op].leaf ? run_enclu : run_privileged)(&fx, edited ? row : &unedited, before);
    free(before);
    fx_close(&fx);
}

unsigned conformance_edmm_rows;

static void run(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        conformance_row(rows[i].name);
        conformance_edmm_rows++;
        run_one(&rows[i], false);
        run_one(&rows[i], true);
    }
}
#define RUN(table) ((void)state, run(table, sizeof(table) / sizeof(table[0])))

/* What the three unprivileged leaves demand of SECINFO and target alike. */
#define COMMON_ROWS(leaf, op) \
    { leaf ": RBX not aligned", op, EDIT({ GPR_REL, SGX_RBX, SECINFO + 32 }), GP }, \
    { leaf ": RBX outside ELRANGE", op, EDIT({ GPR_REL, SGX_RBX, FX_SIZE }), GP }, \
    { leaf ": SECINFO on a page that is not there", op, EDIT({ GPR_REL, SGX_RBX, FX_HOLE }), PF(NOT_PRESENT, FX_HOLE) }, \
    { leaf ": SECINFO's page PENDING", op, EDIT({ SET, FX_DATA, EPCM_PENDING }), PF(EPC, SECINFO) }, \
    { leaf ": SECINFO's page MODIFIED", op, EDIT({ SET, FX_DATA, EPCM_MODIFIED }), PF(EPC, SECINFO) }, \
    { leaf ": SECINFO's page BLOCKED", op, EDIT({ SET, FX_DATA, EPCM_BLOCKED }), PF(EPC, SECINFO) }, \
    { leaf ": SECINFO's page not readable", op, EDIT({ CLEAR, FX_DATA, EPCM_RWX }), PF(EPC, SECINFO) }, \
    { leaf ": SECINFO in a TCS", op, EDIT({ GPR_REL, SGX_RBX, FX_TCS2 }), PF(EPC, FX_TCS2) }, \
    { leaf ": SECINFO.FLAGS with an unknown bit", op, EDIT({ FLAGS, 0, 1ull << 16 }), GP }, \
    { leaf ": SECINFO's first reserved byte", op, EDIT({ RESERVED, 8 }), GP }, \
    { leaf ": SECINFO's last reserved byte", op, EDIT({ RESERVED, 63 }), GP }, \
    { leaf ": RCX not page aligned", op, EDIT({ GPR_REL, SGX_RCX, TARGET + 64 }), GP }, \
    { leaf ": RCX outside ELRANGE", op, EDIT({ GPR_REL, SGX_RCX, FX_SIZE }), GP }, \
    { leaf ": RCX outside the address space", op, EDIT({ GPR, SGX_RCX, 0x8000000000000000ull }), GP }, \
    { leaf ": target not there", op, EDIT({ IS, TARGET, 0 }), PF(NOT_PRESENT, TARGET) }, \
    { leaf ": target BLOCKED", op, EDIT({ SET, TARGET, EPCM_BLOCKED }), PF(EPC, TARGET) }, \
    { leaf ": target in use by another leaf", op, EDIT({ SET, TARGET, EPCM_BUSY }), GP }, \
    { leaf ": page table without access", op, EDIT({ TABLE, TARGET, 0 }), PF(NOT_PRESENT, TARGET) }

static const struct row eaccept[] = {
    COMMON_ROWS("EACCEPT", ACCEPT_NEW),
    COMMON_ROWS("EACCEPT of PR", ACCEPT_PR),
    { "EACCEPT: REG, neither PENDING nor PR", ACCEPT_NEW, EDIT({ FLAGS, 0, EPCM_PENDING }), GP },
    { "EACCEPT: REG, MODIFIED", ACCEPT_NEW, EDIT({ FLAGS, 0, EPCM_MODIFIED }), GP },
    { "EACCEPT: TCS, not MODIFIED", ACCEPT_TCS, EDIT({ FLAGS, 0, EPCM_MODIFIED }), GP },
    { "EACCEPT: TCS, PENDING", ACCEPT_TCS, EDIT({ FLAGS, 0, EPCM_PENDING }), GP },
    { "EACCEPT: TCS, PR", ACCEPT_TCS, EDIT({ FLAGS, 0, EPCM_PR }), GP },
    { "EACCEPT: TRIM, not MODIFIED", ACCEPT_TRIM, EDIT({ FLAGS, 0, EPCM_MODIFIED }), GP },
    { "EACCEPT: TRIM, PENDING", ACCEPT_TRIM, EDIT({ FLAGS, 0, EPCM_PENDING }), GP },
    { "EACCEPT: TRIM, PR", ACCEPT_TRIM, EDIT({ FLAGS, 0, EPCM_PR }), GP },
    { "EACCEPT: type SECS", ACCEPT_TRIM, EDIT({ FLAGS, 0, TRIM }), GP },
    { "EACCEPT: type VA", ACCEPT_TRIM, EDIT({ FLAGS, 0, TRIM ^ 0x300 }), GP },
    { "EACCEPT: unknown type", ACCEPT_NEW, EDIT({ FLAGS, 0, 0xf000 }), GP },
    { "EACCEPT: the page is a VA page", ACCEPT_NEW, EDIT({ IS, TARGET, EPCM_VALID | EPCM_PENDING | RW | 0x300 }), PF(EPC, TARGET) },
    { "EACCEPT: the page is no longer PENDING", ACCEPT_NEW, EDIT({ CLEAR, TARGET, EPCM_PENDING }), CODE(19) },
    { "EACCEPT: the page is MODIFIED too", ACCEPT_NEW, EDIT({ SET, TARGET, EPCM_MODIFIED }), CODE(19) },
    { "EACCEPT: the page cannot be read", ACCEPT_NEW, EDIT({ CLEAR, TARGET, EPCM_R }), CODE(19) },
    { "EACCEPT: the page cannot be written to", ACCEPT_NEW, EDIT({ CLEAR, TARGET, EPCM_W }), CODE(19) },
    { "EACCEPT: the page is executable", ACCEPT_NEW, EDIT({ SET, TARGET, EPCM_X }), CODE(19) },
    { "EACCEPT: SECINFO wants X", ACCEPT_NEW, EDIT({ FLAGS, 0, EPCM_X }), CODE(19) },
    { "EACCEPT: SECINFO wants no W", ACCEPT_NEW, EDIT({ FLAGS, 0, EPCM_W }), CODE(19) },
    { "EACCEPT: a REG page taken for a TCS", ACCEPT_TCS, EDIT({ IS, TARGET, EPCM_VALID | REG | EPCM_MODIFIED }), CODE(19) },
    { "EACCEPT: a TRIM page taken for a TCS", ACCEPT_TCS, EDIT({ IS, TARGET, EPCM_VALID | TRIM | EPCM_MODIFIED }), CODE(19) },
    { "EACCEPT: a TCS taken for a TRIM page", ACCEPT_TRIM, EDIT({ IS, TARGET, EPCM_VALID | TCS | EPCM_MODIFIED }), CODE(19) },
    { "EACCEPT: PR, the page has kept W", ACCEPT_PR, EDIT({ SET, TARGET, EPCM_W }), CODE(19) },
    { "EACCEPT: PR, the page is PENDING", ACCEPT_PR, EDIT({ SET, TARGET, EPCM_PENDING }), CODE(19) },
    { "EACCEPT: a page in use, accepted before", ACCEPT_TRIM, EDIT({ CLEAR, TARGET, EPCM_MODIFIED }), CODE(19) },
    { "EACCEPT: PR, nothing tracked", ACCEPT_PR, EDIT({ STAMPED }), CODE(11) },
    { "EACCEPT: TRIM, nothing tracked", ACCEPT_TRIM, EDIT({ STAMPED }), CODE(11) },
    { "EACCEPT: TCS, nothing tracked", ACCEPT_TCS, EDIT({ STAMPED }), CODE(11) },
    { "EACCEPT: PR, a thread of the old epoch inside", ACCEPT_PR, EDIT({ DRAINING }), CODE(11) },
    { "EACCEPT: TRIM, a thread of the old epoch inside", ACCEPT_TRIM, EDIT({ DRAINING }), CODE(11) },
    { "EACCEPT: a new page needs no tracking", ACCEPT_NEW, EDIT({ STAMPED }), OK(0) },
    { "EACCEPT: mismatch comes before tracking", ACCEPT_PR, EDIT({ SET, TARGET, EPCM_W }, { STAMPED }), CODE(19) },
    { "EACCEPT: TCS with CSSA = NSSA", ACCEPT_TCS, EDIT({ MEM32, TARGET + offsetof(struct sgx_tcs, cssa), 1 }), GP },
    { "EACCEPT: TCS with an AEP", ACCEPT_TCS, EDIT({ MEM64, TARGET + offsetof(struct sgx_tcs, aep), 64 }), GP },
    { "EACCEPT: TCS active", ACCEPT_TCS, EDIT({ MEM64, TARGET + offsetof(struct sgx_tcs, state), 1 }), GP },
    { "EACCEPT: TCS opted in to debugging", ACCEPT_TCS, EDIT({ MEM64, TARGET + offsetof(struct sgx_tcs, flags), 1 }), GP },
    { "EACCEPT: TCS with AEXNOTIFY", ACCEPT_TCS, EDIT({ MEM64, TARGET + offsetof(struct sgx_tcs, flags), 2 }), OK(0) },
    { "EACCEPT: TCS with a reserved flag", ACCEPT_TCS, EDIT({ MEM64, TARGET + offsetof(struct sgx_tcs, flags), 4 }), GP },
    { "EACCEPT: TCS with a reserved byte", ACCEPT_TCS, EDIT({ MEM32, TARGET + SGX_PAGE_SIZE - 4, 1 }), GP },
};

static const struct row emodpe[] = {
    COMMON_ROWS("EMODPE", EXTEND),
    { "EMODPE: target PENDING", EXTEND, EDIT({ SET, TARGET, EPCM_PENDING }), PF(EPC, TARGET) },
    { "EMODPE: target MODIFIED", EXTEND, EDIT({ SET, TARGET, EPCM_MODIFIED }), PF(EPC, TARGET) },
    { "EMODPE: target a TCS", EXTEND, EDIT({ IS, TARGET, EPCM_VALID | TCS }), PF(EPC, TARGET) },
    { "EMODPE: target trimmed", EXTEND, EDIT({ IS, TARGET, EPCM_VALID | TRIM }), PF(EPC, TARGET) },
    { "EMODPE: W for a page without R", EXTEND, EDIT({ CLEAR, TARGET, EPCM_R }, { FLAGS, 0, EPCM_W | EPCM_X }), GP },
    { "EMODPE: R and W for a page without", EXTEND, EDIT({ CLEAR, TARGET, EPCM_R }, { FLAGS, 0, RW | EPCM_X }),
      OK(EPCM_VALID | REG | RW) },
    { "EMODPE: W", EXTEND, EDIT({ FLAGS, 0, EPCM_W | EPCM_X }), OK(EPCM_VALID | REG | RW) },
    { "EMODPE: takes nothing away", EXTEND, EDIT({ FLAGS, 0, EPCM_X }), OK(EPCM_VALID | REG | EPCM_R) },
    { "EMODPE: of a page whose restriction is not accepted yet", EXTEND, EDIT({ SET, TARGET, EPCM_PR }),
      OK(EPCM_VALID | REG | EPCM_R | EPCM_X | EPCM_PR) },
};

static const struct row eacceptcopy[] = {
    COMMON_ROWS("EACCEPTCOPY", COPY),
    { "EACCEPTCOPY: SECINFO of a TCS", COPY, EDIT({ FLAGS, 0, REG ^ TCS }), GP },
    { "EACCEPTCOPY: SECINFO PENDING", COPY, EDIT({ FLAGS, 0, EPCM_PENDING }), GP },
    { "EACCEPTCOPY: W without R", COPY, EDIT({ FLAGS, 0, RW | EPCM_X }), GP },
    { "EACCEPTCOPY: RDX not page aligned", COPY, EDIT({ GPR_REL, SGX_RDX, SOURCE + 8 }), GP },
    { "EACCEPTCOPY: RDX outside ELRANGE", COPY, EDIT({ GPR_REL, SGX_RDX, FX_SIZE }), GP },
    { "EACCEPTCOPY: source not there", COPY, EDIT({ GPR_REL, SGX_RDX, FX_HOLE }), PF(NOT_PRESENT, FX_HOLE) },
    { "EACCEPTCOPY: source PENDING", COPY, EDIT({ SET, SOURCE, EPCM_PENDING }), PF(EPC, SOURCE) },
    { "EACCEPTCOPY: source MODIFIED", COPY, EDIT({ SET, SOURCE, EPCM_MODIFIED }), PF(EPC, SOURCE) },
    { "EACCEPTCOPY: source BLOCKED", COPY, EDIT({ SET, SOURCE, EPCM_BLOCKED }), PF(EPC, SOURCE) },
    { "EACCEPTCOPY: source not readable", COPY, EDIT({ CLEAR, SOURCE, EPCM_R }), PF(EPC, SOURCE) },
    { "EACCEPTCOPY: source a TCS", COPY, EDIT({ GPR_REL, SGX_RDX, FX_TCS2 }), PF(EPC, FX_TCS2) },
    { "EACCEPTCOPY: the page is no longer PENDING", COPY, EDIT({ CLEAR, TARGET, EPCM_PENDING }), CODE(19) },
    { "EACCEPTCOPY: the page is MODIFIED", COPY, EDIT({ SET, TARGET, EPCM_MODIFIED }), CODE(19) },
    { "EACCEPTCOPY: the page is executable", COPY, EDIT({ SET, TARGET, EPCM_X }), CODE(19) },
    { "EACCEPTCOPY: the page cannot be written to", COPY, EDIT({ CLEAR, TARGET, EPCM_W }), CODE(19) },
    { "EACCEPTCOPY: the page is a TCS", COPY, EDIT({ IS, TARGET, EPCM_VALID | TCS | EPCM_PENDING | RW }), CODE(19) },
    { "EACCEPTCOPY: with all rights", COPY, EDIT({ FLAGS, 0, EPCM_W }), OK(EPCM_VALID | REG | EPCM_RWX) },
    { "EACCEPTCOPY: with no rights", COPY, EDIT({ FLAGS, 0, EPCM_R | EPCM_X }), OK(EPCM_VALID | REG) },
};

static const struct row encls[] = {
    { "EAUG: address not aligned", AUG, EDIT({ ADDRESS, 0, TARGET + 8 }), CODE(-EINVAL) },
    { "EAUG: outside ELRANGE", AUG, EDIT({ ADDRESS, 0, FX_SIZE }), CODE(-EINVAL) },
    { "EAUG: before EINIT", AUG, EDIT({ NO_INIT }), CODE(-EINVAL) },
    { "EAUG: page VALID", AUG, EDIT({ IS, TARGET, EPCM_VALID | REG | RW }), CODE(-EFAULT) },
    { "EAUG: page PENDING already", AUG, EDIT({ IS, TARGET, NEW }), CODE(-EFAULT) },
    { "EAUG: page trimmed and not removed", AUG, EDIT({ IS, TARGET, EPCM_VALID | TRIM }), CODE(-EFAULT) },
    { "EAUG: page in use by another leaf", AUG, EDIT({ SET, TARGET, EPCM_BUSY }), CODE(7) },
    { "EAUG: the page table does not matter", AUG, EDIT({ TABLE, TARGET, 0 }), OK(0) },

    { "EMODPR: address not aligned", MODPR, EDIT({ ADDRESS, 0, TARGET + 8 }), CODE(-EINVAL) },
    { "EMODPR: outside ELRANGE", MODPR, EDIT({ ADDRESS, 0, FX_SIZE }), CODE(-EINVAL) },
    { "EMODPR: before EINIT", MODPR, EDIT({ NO_INIT }), CODE(-EINVAL) },
    { "EMODPR: SECINFO with an unknown flag", MODPR, EDIT({ FLAGS, 0, 1ull << 20 }), CODE(-EINVAL) },
    { "EMODPR: SECINFO with a reserved byte", MODPR, EDIT({ RESERVED, 20 }), CODE(-EINVAL) },
    { "EMODPR: W without R", MODPR, EDIT({ FLAGS, 0, RW }), CODE(-EINVAL) },
    { "EMODPR: page not there", MODPR, EDIT({ IS, TARGET, 0 }), CODE(-EFAULT) },
    { "EMODPR: page in use by another leaf", MODPR, EDIT({ SET, TARGET, EPCM_BUSY }), CODE(7) },
    { "EMODPR: PENDING", MODPR, EDIT({ SET, TARGET, EPCM_PENDING }), CODE(20) },
    { "EMODPR: MODIFIED", MODPR, EDIT({ SET, TARGET, EPCM_MODIFIED }), CODE(20) },
    { "EMODPR: a trimmed page, not accepted", MODPR, EDIT({ IS, TARGET, EPCM_VALID | TRIM | EPCM_MODIFIED }), CODE(20) },
    { "EMODPR: a trimmed page, accepted", MODPR, EDIT({ IS, TARGET, EPCM_VALID | TRIM }), CODE(-EFAULT) },
    { "EMODPR: a TCS", MODPR, EDIT({ IS, TARGET, EPCM_VALID | TCS }), CODE(-EFAULT) },
    { "EMODPR: adds nothing", MODPR, EDIT({ FLAGS, 0, EPCM_X }), OK(0) },
    { "EMODPR: nothing remains", MODPR, EDIT({ FLAGS, 0, EPCM_R }), OK(EPCM_VALID | REG | EPCM_PR) },
    { "EMODPR: a second one before the first is accepted", MODPR, EDIT({ SET, TARGET, EPCM_PR }), OK(0) },

    { "EMODT: address not aligned", MODT_TRIM, EDIT({ ADDRESS, 0, TARGET + 8 }), CODE(-EINVAL) },
    { "EMODT: outside ELRANGE", MODT_TRIM, EDIT({ ADDRESS, 0, FX_SIZE }), CODE(-EINVAL) },
    { "EMODT: before EINIT", MODT_TRIM, EDIT({ NO_INIT }), CODE(-EINVAL) },
    { "EMODT: SECINFO with an unknown flag", MODT_TRIM, EDIT({ FLAGS, 0, 1ull << 40 }), CODE(-EINVAL) },
    { "EMODT: SECINFO with a reserved byte", MODT_TCS, EDIT({ RESERVED, 63 }), CODE(-EINVAL) },
    { "EMODT: to REG", MODT_TRIM, EDIT({ FLAGS, 0, TRIM ^ REG }), CODE(-EINVAL) },
    { "EMODT: to SECS", MODT_TRIM, EDIT({ FLAGS, 0, TRIM }), CODE(-EINVAL) },
    { "EMODT: page not there", MODT_TRIM, EDIT({ IS, TARGET, 0 }), CODE(-EFAULT) },
    { "EMODT: page in use by another leaf", MODT_TRIM, EDIT({ SET, TARGET, EPCM_BUSY }), CODE(7) },
    { "EMODT: PENDING", MODT_TCS, EDIT({ SET, TARGET, EPCM_PENDING }), CODE(20) },
    { "EMODT: MODIFIED", MODT_TRIM, EDIT({ SET, TARGET, EPCM_MODIFIED }), CODE(20) },
    { "EMODT: a TCS to TCS", MODT_TCS, EDIT({ IS, TARGET, EPCM_VALID | TCS }), CODE(-EFAULT) },
    { "EMODT: a trimmed page to TRIM", MODT_TRIM, EDIT({ IS, TARGET, EPCM_VALID | TRIM }), CODE(-EFAULT) },
    { "EMODT: a trimmed page to TCS", MODT_TCS, EDIT({ IS, TARGET, EPCM_VALID | TRIM }), CODE(-EFAULT) },
    { "EMODT: a VA page", MODT_TRIM, EDIT({ IS, TARGET, EPCM_VALID | 0x300 }), CODE(-EFAULT) },
    { "EMODT: a TCS to TRIM", MODT_TRIM, EDIT({ IS, TARGET, EPCM_VALID | TCS }), OK(0) },
    { "EMODT: a restriction that was not accepted is forgotten", MODT_TRIM, EDIT({ SET, TARGET, EPCM_PR }), OK(0) },

    { "EREMOVE: address not aligned", REMOVE, EDIT({ ADDRESS, 0, TARGET + 8 }), CODE(-EINVAL) },
    { "EREMOVE: outside ELRANGE", REMOVE, EDIT({ ADDRESS, 0, FX_SIZE }), CODE(-EINVAL) },
    { "EREMOVE: page in use by another leaf", REMOVE, EDIT({ SET, TARGET, EPCM_BUSY }), CODE(7) },
    { "EREMOVE: REG, threads inside", REMOVE, EDIT({ IS, TARGET, EPCM_VALID | REG | RW }), CODE(14) },
    { "EREMOVE: TCS, threads inside", REMOVE, EDIT({ IS, TARGET, EPCM_VALID | TCS }), CODE(14) },
    { "EREMOVE: trimmed, not accepted, threads inside", REMOVE, EDIT({ SET, TARGET, EPCM_MODIFIED }), CODE(14) },
    { "EREMOVE: PENDING, threads inside", REMOVE, EDIT({ IS, TARGET, NEW }), CODE(14) },
    { "EREMOVE: REG, nobody inside", REMOVE, EDIT({ IS, TARGET, EPCM_VALID | REG | RW }, { OUT }), OK(0) },
};

void test_edmm_eaccept(void **state)
{
    RUN(eaccept);
}

void test_edmm_emodpe(void **state)
{
    RUN(emodpe);
}

void test_edmm_eacceptcopy(void **state)
{
    RUN(eacceptcopy);
}

void test_edmm_encls(void **state)
{
    RUN(encls);
}
