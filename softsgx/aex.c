/* SPDX-License-Identifier: Apache-2.0
 *
 * Asynchronous enclave exit: the interrupted state into the SSA frame, a synthetic state for the host. AEX-Notify
 * changes nothing here; GPRSGX.AEXNOTIFY is neither read nor written. */
#include "softsgx/enclave.h"

#include <string.h>

/* Faults push RF=1. Interrupts, NMI, traps (#DB, #BP, #OF) and aborts (#DF, #MC) push it as it is. */
static bool fault_class(int vector)
{
    switch (vector) {
    case SGX_VEC_DB:
    case 2:
    case SGX_VEC_BP:
    case 4:
    case 8:
    case 18:
        return false;
    default:
        return vector >= 0 && vector < 32;
    }
}

static uint32_t exitinfo(const struct sgx_event *event, bool exinfo_selected)
{
    switch (event->vector) {
    case SGX_VEC_BP:
        return SGX_EXITINFO_VALID | SGX_EXIT_SOFTWARE << 8 | SGX_VEC_BP;
    case SGX_VEC_PF:
        if (!(event->error_code & SGX_PFEC_U)) /* the kernel's own fault on enclave memory is not the enclave's */
            return 0;
        /* fall through */
    case SGX_VEC_GP:
        if (!exinfo_selected)
            return 0;
        /* fall through */
    case SGX_VEC_DE: case SGX_VEC_DB: case SGX_VEC_BR: case SGX_VEC_UD: case SGX_VEC_MF: case SGX_VEC_AC:
    case SGX_VEC_XM:
        return SGX_EXITINFO_VALID | SGX_EXIT_HARDWARE << 8 | (uint32_t)event->vector;
    default:
        return 0;
    }
}

static void save_registers(const struct sgx_cpu *cpu, const struct sgx_event *event, struct sgx_gprsgx *gpr)
{
    uint64_t *saved = (uint64_t *)gpr; /* GPRSGX begins with them, in encoding order */

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        saved[i] = cpu->gpr[i];
    gpr->rip = cpu->rip;
    gpr->rflags = cpu->rflags & ~SGX_FL_TF;
    if (fault_class(event->vector))
        gpr->rflags |= SGX_FL_RF;
    gpr->fsbase = cpu->fsbase;
    gpr->gsbase = cpu->gsbase;
}

static void report(const struct softsgx_enclave *e, const struct sgx_event *event, struct sgx_gprsgx *gpr)
{
    bool selected = e->secs.miscselect & SGX_MISC_EXINFO;
    struct sgx_exinfo *exinfo = (struct sgx_exinfo *)((uint8_t *)gpr - sizeof(*exinfo));

    gpr->exitinfo = exitinfo(event, selected);
    if (!gpr->exitinfo || !selected || (event->vector != SGX_VEC_PF && event->vector != SGX_VEC_GP))
        return;
    exinfo->maddr = event->vector == SGX_VEC_PF ? event->address : 0;
    exinfo->errcd = event->error_code;
    exinfo->reserved = 0;
}

static void load_synthetic(struct sgx_cpu *cpu, const struct sgx_tcs *tcs, uint64_t ursp, uint64_t urbp, int vector)
{
    const uint64_t cleared = SGX_FL_CF | SGX_FL_PF | SGX_FL_AF | SGX_FL_ZF | SGX_FL_SF | SGX_FL_OF | SGX_FL_RF;

    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[SGX_RAX] = SGX_ERESUME;
    cpu->gpr[SGX_RBX] = cpu->tcs;
    cpu->gpr[SGX_RCX] = tcs->aep;
    cpu->gpr[SGX_RSP] = ursp;
    cpu->gpr[SGX_RBP] = urbp;
    cpu->rip = tcs->aep;
    cpu->rflags &= ~cleared;
    if (!cpu->dbgoptin)
        cpu->rflags = (cpu->rflags & ~SGX_FL_TF) | (cpu->saved_tf ? SGX_FL_TF : 0);
    cpu->fsbase = cpu->saved_fsbase;
    cpu->gsbase = cpu->saved_gsbase;
    cpu->xcr0 = cpu->saved_xcr0;
    sgx_xstate_synthetic(cpu, vector);
}

void sgx_aex(struct sgx_cpu *cpu, const struct sgx_event *event)
{
    struct softsgx_enclave *e = cpu->enclave;
    struct sgx_tcs *tcs = (struct sgx_tcs *)sgx_epc(e, cpu->tcs);
    uint64_t frame = e->base + sgx_frame_offset(e, tcs, tcs->cssa);
    struct sgx_gprsgx *gpr = sgx_frame_gpr(e, frame);

    save_registers(cpu, event, gpr);
    sgx_xstate_save(cpu, e->secs.attributes.xfrm, sgx_epc(e, frame));
    report(e, event, gpr);
    load_synthetic(cpu, tcs, gpr->ursp, gpr->urbp, event->vector);

    cpu->pending_db = cpu->notified = false;
    cpu->cr2 = event->vector == SGX_VEC_PF ? event->address & ~(uint64_t)(SGX_PAGE_SIZE - 1) : 0;
    sgx_track_leave(e, cpu->epoch);
    cpu->enclave_mode = false;
    cpu->enclave = NULL;
    cpu->tcs = 0;
    tcs->cssa += 1;
    __atomic_store_n(&tcs->state, SGX_TCS_INACTIVE, __ATOMIC_RELEASE);
}
