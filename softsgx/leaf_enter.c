/* SPDX-License-Identifier: Apache-2.0
 *
 * EENTER and ERESUME, the latter with the AEX-Notify morph. Every check comes before the first write, so a fault leaves
 * registers and TCS as they were. */
#include "softsgx/enclave.h"

/* What the checks of an entry find out for its commit. */
struct entry {
    struct softsgx_enclave *enclave;
    struct sgx_tcs *tcs;
    uint64_t tcs_address, frame, target, fsbase, gsbase;
};

/* EPCM of the TCS page: any defect is a #PF on it. */
static bool check_tcs_page(struct sgx_cpu *cpu, struct entry *in, struct sgx_fault *fault)
{
    uint64_t address = cpu->gpr[SGX_RBX];
    uint32_t entry;

    if (address % SGX_PAGE_SIZE)
        return sgx_raise_gp(fault);
    in->enclave = sgx_enclave_at(address);
    if (!in->enclave)
        return sgx_raise(fault, SGX_VEC_PF, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX, address);
    entry = sgx_epcm_get(in->enclave, address);
    if (!(entry & EPCM_VALID) || (entry & (EPCM_W << EPCM_DENY_SHIFT)))
        return sgx_raise(fault, SGX_VEC_PF, sgx_pf_error_code(in->enclave, address, SGX_PFEC_W), address);
    if (!sgx_canonical(cpu->gpr[SGX_RCX]))
        return sgx_raise_gp(fault);
    if ((entry & (EPCM_BLOCKED | EPCM_PENDING | EPCM_MODIFIED)) || EPCM_PT(entry) != SGX_PT_TCS)
        return sgx_raise(fault, SGX_VEC_PF, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX, address);
    in->tcs_address = address;
    in->tcs = (struct sgx_tcs *)sgx_epc(in->enclave, address);
    return true;
}

/* What EENTER and ERESUME demand of TCS and SECS alike. */
static bool check_common(struct sgx_cpu *cpu, struct entry *in, struct sgx_fault *fault)
{
    const struct sgx_secs *secs;
    const struct sgx_tcs *tcs;
    bool attribute, flag;

    if (!check_tcs_page(cpu, in, fault))
        return false;
    tcs = in->tcs;
    secs = &in->enclave->secs;
    if (tcs->ossa % SGX_PAGE_SIZE || tcs->ofsbase % SGX_PAGE_SIZE || tcs->ogsbase % SGX_PAGE_SIZE)
        return sgx_raise_gp(fault);
    if ((tcs->flags & ~(SGX_TCS_DBGOPTIN | SGX_TCS_AEXNOTIFY)) || !(secs->attributes.flags & SGX_ATTR_INIT) ||
        !(secs->attributes.flags & SGX_ATTR_MODE64BIT) || (secs->attributes.xfrm & ~cpu->xcr0))
        return sgx_raise_gp(fault);
    attribute = secs->attributes.flags & SGX_ATTR_AEXNOTIFY;
    flag = tcs->flags & SGX_TCS_AEXNOTIFY;
    if (!(tcs->flags & SGX_TCS_DBGOPTIN) && flag != attribute)
        return sgx_raise_gp(fault);
    return true;
}

/* An entry proper: the frame CSSA points at is free, execution starts at OENTRY. EENTER and the morphed ERESUME. */
static bool check_fresh(struct entry *in, struct sgx_fault *fault)
{
    struct softsgx_enclave *e = in->enclave;
    const struct sgx_tcs *tcs = in->tcs;

    if (tcs->cssa >= tcs->nssa)
        return sgx_raise_gp(fault);
    in->frame = e->base + sgx_frame_offset(e, tcs, tcs->cssa);
    if (!sgx_check_frame(e, in->frame, fault))
        return false;
    in->target = e->base + tcs->oentry;
    in->fsbase = e->base + tcs->ofsbase;
    in->gsbase = e->base + tcs->ogsbase;
    return true;
}

/* The last checks, of which taking the TCS is the very last. */
static bool take_tcs(struct entry *in, struct sgx_fault *fault)
{
    uint64_t inactive = SGX_TCS_INACTIVE;

    if (!sgx_canonical(in->target) || !sgx_canonical(in->fsbase) || !sgx_canonical(in->gsbase))
        return sgx_raise_gp(fault);
    if (!__atomic_compare_exchange_n(&in->tcs->state, &inactive, SGX_TCS_ACTIVE, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return sgx_raise_gp(fault);
    return true;
}

static void enter_enclave_mode(struct sgx_cpu *cpu, const struct entry *in)
{
    cpu->enclave_mode = true;
    cpu->enclave = in->enclave;
    cpu->epoch = sgx_track_enter(in->enclave);
    cpu->tcs = in->tcs_address;
    cpu->saved_fsbase = cpu->fsbase;
    cpu->saved_gsbase = cpu->gsbase;
    cpu->saved_xcr0 = cpu->xcr0;
    cpu->xcr0 = in->enclave->secs.attributes.xfrm;
    in->tcs->aep = cpu->gpr[SGX_RCX];
    cpu->fsbase = in->fsbase;
    cpu->gsbase = in->gsbase;
}

/* Opt-out: stepping stops at the door and the enclave run is one instruction. Opt-in: a #DB pends if TF was set, except
 * after a plain ERESUME, which clears pending debug exceptions. */
static void enter_debug(struct sgx_cpu *cpu, const struct entry *in, bool plain_resume)
{
    cpu->dbgoptin = in->tcs->flags & SGX_TCS_DBGOPTIN;
    cpu->saved_tf = false;
    if (cpu->dbgoptin) {
        cpu->pending_db = !plain_resume && (cpu->rflags & SGX_FL_TF);
    } else {
        cpu->saved_tf = cpu->rflags & SGX_FL_TF;
        cpu->rflags &= ~SGX_FL_TF;
    }
}

static void commit_fresh(struct sgx_cpu *cpu, const struct entry *in)
{
    struct sgx_gprsgx *gpr = sgx_frame_gpr(in->enclave, in->frame);

    enter_enclave_mode(cpu, in);
    /* The address after ENCLU, also for a morphed ERESUME: see docs/softsgx.md, "RCX of a morphed ERESUME". */
    cpu->gpr[SGX_RCX] = cpu->rip + SGX_ENCLU_LENGTH;
    cpu->rip = in->target;
    cpu->gpr[SGX_RAX] = in->tcs->cssa;
    gpr->ursp = cpu->gpr[SGX_RSP];
    gpr->urbp = cpu->gpr[SGX_RBP];
    enter_debug(cpu, in, false);
}

bool sgx_eenter(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    struct entry in;

    if (!check_common(cpu, &in, fault) || !check_fresh(&in, fault) || !take_tcs(&in, fault))
        return false;
    commit_fresh(cpu, &in);
    return true;
}

static void load_registers(struct sgx_cpu *cpu, const struct sgx_gprsgx *gpr)
{
    uint64_t from_frame = SGX_FL_CF | SGX_FL_PF | SGX_FL_AF | SGX_FL_ZF | SGX_FL_SF | SGX_FL_DF | SGX_FL_OF |
                          SGX_FL_NT | SGX_FL_RF | SGX_FL_AC | SGX_FL_ID;
    const uint64_t *saved = (const uint64_t *)gpr; /* GPRSGX begins with them, in encoding order */

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        cpu->gpr[i] = saved[i];
    if ((cpu->rflags & SGX_FL_IOPL) == SGX_FL_IOPL)
        from_frame |= SGX_FL_IF;
    cpu->rflags = (cpu->rflags & ~(from_frame | SGX_FL_VM)) | (gpr->rflags & from_frame);
}

/* The frame is copied first: while the TCS is inactive other threads of the enclave may still write to it. */
static void commit_resume(struct sgx_cpu *cpu, const struct entry *in, const struct sgx_gprsgx *gpr)
{
    enter_enclave_mode(cpu, in);
    sgx_xstate_load(cpu, cpu->xcr0, sgx_epc(in->enclave, in->frame));
    load_registers(cpu, gpr);
    cpu->rip = in->target;
    in->tcs->cssa -= 1;
    enter_debug(cpu, in, true);
}

bool sgx_eresume(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    struct sgx_gprsgx gpr;
    struct entry in;

    if (!check_common(cpu, &in, fault))
        return false;
    if (in.tcs->cssa == 0)
        return sgx_raise_gp(fault);
    in.frame = in.enclave->base + sgx_frame_offset(in.enclave, in.tcs, in.tcs->cssa - 1);
    if (!sgx_check_frame(in.enclave, in.frame, fault))
        return false;
    gpr = *sgx_frame_gpr(in.enclave, in.frame);

    if ((in.tcs->flags & SGX_TCS_AEXNOTIFY) && (gpr.aexnotify & SGX_AEXNOTIFY_ON)) {
        if (!check_fresh(&in, fault) || !take_tcs(&in, fault))
            return false;
        commit_fresh(cpu, &in);
        cpu->notified = true;
        return true;
    }
    in.target = gpr.rip;
    in.fsbase = gpr.fsbase;
    in.gsbase = gpr.gsbase;
    if (!take_tcs(&in, fault))
        return false;
    if (!sgx_xstate_valid(in.enclave->secs.attributes.xfrm, sgx_epc(in.enclave, in.frame))) {
        __atomic_store_n(&in.tcs->state, SGX_TCS_INACTIVE, __ATOMIC_RELEASE);
        return sgx_raise_gp(fault);
    }
    commit_resume(cpu, &in, &gpr);
    return true;
}
