/* SPDX-License-Identifier: Apache-2.0
 *
 * What each leaf writes. A row lists every change; whatever it does not list must be as before: all registers, the
 * extended state, all of the EPC, all of the EPCM. */
#include "softsgx_conformance.h"

#include <stdlib.h>

enum what { END, R, RIP, RFLAGS, FS, GS, MEM64, MEM32, PENDING_DB, NOTIFIED, SAVED_TF, DBGOPTIN };
struct change { enum what what; uint64_t where, value; };

struct effect {
    const char *name;
    int kind;
    enum situation situation;
    uint32_t leaf;
    bool optin;
    uint64_t rflags;        /* before */
    struct change before[3]; /* set up first, MEM64/MEM32/R/SAVED_TF */
    struct change change[24];
};

#define T(field) (FX_TCS + offsetof(struct sgx_tcs, field))
#define G(frame, field) \
    (FX_SSA + (frame) * 0x1000 + 0x1000 - sizeof(struct sgx_gprsgx) + offsetof(struct sgx_gprsgx, field))
#define NEW_AEP 0x555500009990ull
#define HOST_RSP 0x7ffc00001000ull
#define HOST_RBP 0x7ffc00001040ull
#define OWN(i) (0x2222000000000000ull + 0x0303030303ull * (i)) /* fx_enclave_registers */
#define ARITHMETIC 0x254cd5ull /* CF PF AF ZF SF DF OF NT RF AC ID */

#define FRESH(cssa, from_rip) \
    { R, SGX_RAX, cssa }, { R, SGX_RCX, (from_rip) + 3 }, { RIP, 0, FX_BASE + FX_OENTRY }, \
    { FS, 0, FX_BASE + FX_TLS }, \
    { GS, 0, FX_BASE + FX_DATA }, { MEM64, T(state), SGX_TCS_ACTIVE }, { MEM64, T(aep), NEW_AEP }, \
    { MEM64, G(cssa, ursp), HOST_RSP }, { MEM64, G(cssa, urbp), HOST_RBP }
#define RESUMED \
    { R, 0, OWN(0) }, { R, 1, OWN(1) }, { R, 2, OWN(2) }, { R, 3, OWN(3) }, { R, 4, OWN(4) }, { R, 5, OWN(5) }, \
    { R, 6, OWN(6) }, { R, 7, OWN(7) }, { R, 8, OWN(8) }, { R, 9, OWN(9) }, { R, 10, OWN(10) }, { R, 11, OWN(11) }, \
    { R, 12, OWN(12) }, { R, 13, OWN(13) }, { R, 14, OWN(14) }, { R, 15, OWN(15) }, \
    { RIP, 0, FX_BASE + FX_CODE + 0x123 }, { FS, 0, FX_BASE + FX_TLS + 0x10 }, { GS, 0, FX_BASE + FX_DATA + 0x20 }, \
    { MEM64, T(state), SGX_TCS_ACTIVE }, { MEM64, T(aep), NEW_AEP }, { MEM32, T(cssa), 0 }
#define EXITED \
    { RIP, 0, FX_RIP }, { R, SGX_RCX, FX_AEP }, { FS, 0, 0x7f0000001000ull }, { GS, 0, 0x7f0000002000ull }, \
    { MEM64, T(state), SGX_TCS_INACTIVE }
#define TF SGX_FL_TF
#define BEFORE(...) .before = { __VA_ARGS__ }

static const struct effect effects[] = {
    { "EENTER writes", KIND_PLAIN, OUTSIDE, SGX_EENTER, false, 0x202, .change = { FRESH(0, FX_RIP) } },
    { "EENTER writes, flags and DF stay", KIND_PLAIN, OUTSIDE, SGX_EENTER, false, 0x202 | ARITHMETIC,
      .change = { FRESH(0, FX_RIP) } },
    { "EENTER at CSSA 1 writes", KIND_PLAIN, INTERRUPTED, SGX_EENTER, false, 0x202, .change = { FRESH(1, FX_AEP) } },
    { "EENTER at CSSA 1 does not look at AEXNOTIFY", KIND_NOTIFY, NOTIFY, SGX_EENTER, false, 0x202,
      .change = { FRESH(1, FX_AEP) } },
    { "EENTER, TF, opt-out", KIND_PLAIN, OUTSIDE, SGX_EENTER, false, 0x202 | TF,
      .change = { FRESH(0, FX_RIP), { RFLAGS, 0, 0x202 }, { SAVED_TF, 0, true } } },
    { "EENTER, TF, opt-in", KIND_PLAIN, OUTSIDE, SGX_EENTER, true, 0x202 | TF,
      .change = { FRESH(0, FX_RIP), { PENDING_DB, 0, true }, { DBGOPTIN, 0, true } } },
    { "EENTER, no TF, opt-in", KIND_PLAIN, OUTSIDE, SGX_EENTER, true, 0x202,
      .change = { FRESH(0, FX_RIP), { DBGOPTIN, 0, true } } },

    { "morph writes", KIND_NOTIFY, NOTIFY, SGX_ERESUME, false, 0x202,
      .change = { FRESH(1, FX_AEP), { NOTIFIED, 0, true } } },
    { "morph restores no flags", KIND_NOTIFY, NOTIFY, SGX_ERESUME, false, 0x202 | ARITHMETIC,
      BEFORE({ MEM64, G(0, rflags), 2 }), .change = { FRESH(1, FX_AEP), { NOTIFIED, 0, true } } },
    { "morph, TF, opt-out", KIND_NOTIFY, NOTIFY, SGX_ERESUME, false, 0x202 | TF,
      .change = { FRESH(1, FX_AEP), { NOTIFIED, 0, true }, { RFLAGS, 0, 0x202 }, { SAVED_TF, 0, true } } },
    { "morph, TF, opt-in", KIND_NOTIFY, NOTIFY, SGX_ERESUME, true, 0x202 | TF,
      .change = { FRESH(1, FX_AEP), { NOTIFIED, 0, true }, { PENDING_DB, 0, true }, { DBGOPTIN, 0, true } } },
    { "morph by AEXNOTIFY 0xff", KIND_NOTIFY, NOTIFY, SGX_ERESUME, false, 0x202,
      BEFORE({ MEM64, G(0, exitinfo), 0xffull << 56 }), .change = { FRESH(1, FX_AEP), { NOTIFIED, 0, true } } },

    { "ERESUME writes", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x202, .change = { RESUMED } },
    { "ERESUME with the TCS flag, bit clear", KIND_NOTIFY, INTERRUPTED, SGX_ERESUME, false, 0x202,
      .change = { RESUMED } },
    { "ERESUME with the TCS flag, AEXNOTIFY 0xfe", KIND_NOTIFY, INTERRUPTED, SGX_ERESUME, false, 0x202,
      BEFORE({ MEM64, G(0, exitinfo), 0xfeull << 56 }), .change = { RESUMED } },
    { "ERESUME with the bit, no TCS flag", KIND_PLAIN, NOTIFY, SGX_ERESUME, false, 0x202, .change = { RESUMED } },
    { "ERESUME with the bit and attribute, opt-in without TCS flag", KIND_NOTIFY, NOTIFY, SGX_ERESUME, true, 0x202,
      BEFORE({ MEM64, T(flags), SGX_TCS_DBGOPTIN }), .change = { RESUMED, { DBGOPTIN, 0, true } } },
    { "ERESUME, frame has every flag", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x202,
      BEFORE({ MEM64, G(0, rflags), ~0ull }), .change = { RESUMED, { RFLAGS, 0, 0x202 | ARITHMETIC } } },
    { "ERESUME, frame has no flag, host every", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x202 | ARITHMETIC,
      BEFORE({ MEM64, G(0, rflags), 0 }), .change = { RESUMED, { RFLAGS, 0, 0x202 } } },
    { "ERESUME, IOPL 3: IF from the frame", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x3202,
      BEFORE({ MEM64, G(0, rflags), 2 }), .change = { RESUMED, { RFLAGS, 0, 0x3002 } } },
    { "ERESUME, IOPL 2: IF from the host", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x2202,
      BEFORE({ MEM64, G(0, rflags), 2 }), .change = { RESUMED } },
    { "ERESUME clears VM", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x20202,
      .change = { RESUMED, { RFLAGS, 0, 0x202 } } },
    { "ERESUME, TF, opt-out", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, false, 0x202 | TF,
      .change = { RESUMED, { RFLAGS, 0, 0x202 }, } },
    { "ERESUME, TF, opt-in: nothing pends", KIND_PLAIN, INTERRUPTED, SGX_ERESUME, true, 0x202 | TF,
      .change = { RESUMED, { DBGOPTIN, 0, true } } },

    { "EEXIT writes", KIND_PLAIN, INSIDE, SGX_EEXIT, false, 0x202, BEFORE({ R, SGX_RBX, FX_RIP }),
      .change = { EXITED } },
    { "EEXIT at CSSA 1 leaves CSSA", KIND_PLAIN, INSIDE_1, SGX_EEXIT, false, 0x202, BEFORE({ R, SGX_RBX, FX_RIP }),
      .change = { EXITED } },
    { "EEXIT keeps the flags", KIND_PLAIN, INSIDE, SGX_EEXIT, false, 0x202 | ARITHMETIC, BEFORE({ R, SGX_RBX, FX_RIP }),
      .change = { EXITED } },
    { "EEXIT, opt-out, TF was set at entry", KIND_PLAIN, INSIDE, SGX_EEXIT, false, 0x202,
      BEFORE({ R, SGX_RBX, FX_RIP }, { SAVED_TF, 0, true }),
      .change = { EXITED, { RFLAGS, 0, 0x202 | TF }, { PENDING_DB, 0, true } } },
    { "EEXIT, opt-out, the enclave's own TF does not leave", KIND_PLAIN, INSIDE, SGX_EEXIT, false, 0x202 | TF,
      BEFORE({ R, SGX_RBX, FX_RIP }), .change = { EXITED, { RFLAGS, 0, 0x202 } } },
    { "EEXIT, opt-in, TF stays", KIND_PLAIN, INSIDE, SGX_EEXIT, true, 0x202 | TF,
      BEFORE({ R, SGX_RBX, FX_RIP }, { DBGOPTIN, 0, true }), .change = { EXITED, { PENDING_DB, 0, true } } },

    { "EDECCSSA writes", KIND_PLAIN, INSIDE_1, SGX_EDECCSSA, false, 0x202,
      .change = { { RIP, 0, FX_BASE + FX_CODE + 0x126 }, { MEM32, T(cssa), 0 } } },
    { "EDECCSSA after a morph does not touch AEXNOTIFY or flags", KIND_NOTIFY, INSIDE_1, SGX_EDECCSSA, false,
      0x202 | ARITHMETIC, BEFORE({ MEM64, G(0, exitinfo), 1ull << 56 }),
      .change = { { RIP, 0, FX_BASE + FX_CODE + 0x126 }, { MEM32, T(cssa), 0 } } },
};

static void set(struct fx *fx, const struct change *c)
{
    uint8_t *epc = sgx_enclave_alias(fx->enclave);

    switch (c->what) {
    case R: fx->cpu.gpr[c->where] = c->value; break;
    case MEM64: memcpy(epc + c->where, &c->value, 8); break;
    case SAVED_TF: fx->cpu.saved_tf = c->value; break;
    case DBGOPTIN: fx->cpu.dbgoptin = c->value; break;
    case END: break;
    default: fail_msg("not a preparation"); break;
    }
}

static void expect_change(struct machine *m, const struct change *c)
{
    switch (c->what) {
    case END: break;
    case R: m->cpu.gpr[c->where] = c->value; break;
    case RIP: m->cpu.rip = c->value; break;
    case RFLAGS: m->cpu.rflags = c->value; break;
    case FS: m->cpu.fsbase = c->value; break;
    case GS: m->cpu.gsbase = c->value; break;
    case MEM64: memcpy(m->epc + c->where, &c->value, 8); break;
    case MEM32: memcpy(m->epc + c->where, &c->value, 4); break;
    case PENDING_DB: m->cpu.pending_db = c->value; break;
    case NOTIFIED: m->cpu.notified = c->value; break;
    case SAVED_TF: m->cpu.saved_tf = c->value; break;
    case DBGOPTIN: m->cpu.dbgoptin = c->value; break;
    }
}

/* What every way in and every way out has in common. */
static void expect_mode(struct machine *m, const struct fx *fx, uint32_t leaf)
{
    if (leaf == SGX_EDECCSSA)
        return;
    m->cpu.enclave_mode = leaf != SGX_EEXIT;
    m->cpu.enclave = m->cpu.enclave_mode ? fx->enclave : NULL;
    m->cpu.tcs = m->cpu.enclave_mode ? FX_BASE + FX_TCS : 0;
    if (m->cpu.enclave_mode) {
        m->cpu.saved_fsbase = m->cpu.fsbase;
        m->cpu.saved_gsbase = m->cpu.gsbase;
        m->cpu.saved_xcr0 = m->cpu.xcr0;
        m->cpu.xcr0 = SGX_XFRM_LEGACY;
        m->cpu.saved_tf = false;
        m->cpu.dbgoptin = false;
    } else {
        m->cpu.xcr0 = m->cpu.saved_xcr0;
    }
}

/* A plain ERESUME loads x87 and SSE as they were when the enclave was interrupted. */
static void expect_xstate(struct machine *m)
{
    struct fx saved;

    fx_fill_xsave(&saved, 0x60);
    memcpy(m->xsave, saved.xsave, 416);
    m->xsave[SGX_XSAVE_HEADER] = 3;
}

static void run_effect(const struct effect *e)
{
    struct machine *want;
    struct fx fx;

    conformance_row(e->name);
    bring_to(&fx, e->kind, e->situation);
    fx.cpu.rflags = e->rflags;
    if (e->leaf == SGX_EENTER || e->leaf == SGX_ERESUME)
        fx.cpu.gpr[SGX_RCX] = NEW_AEP;
    if (e->optin)
        fx_tcs_of(&fx)->flags |= SGX_TCS_DBGOPTIN;
    for (size_t i = 0; i < sizeof(e->before) / sizeof(e->before[0]); i++)
        set(&fx, &e->before[i]);
    fx.cpu.gpr[SGX_RAX] = e->leaf;
    want = machine_capture(&fx);
    expect_mode(want, &fx, e->leaf);
    if (e->leaf == SGX_ERESUME && e->change[0].value == OWN(0)) {
        expect_xstate(want);
        want->cpu.rflags = e->rflags;
        want->cpu.saved_tf = !e->optin && (e->rflags & TF);
    }
    for (size_t i = 0; i < sizeof(e->change) / sizeof(e->change[0]); i++)
        expect_change(want, &e->change[i]);
    fx_must(&fx, e->leaf);
    machine_expect(&fx, want, e->name);
    free(want);
    fx_close(&fx);
}

void test_effects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
        run_effect(&effects[i]);
}
