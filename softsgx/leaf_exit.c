/* SPDX-License-Identifier: Apache-2.0
 *
 * EEXIT and EDECCSSA. */
#include "softsgx/enclave.h"

bool sgx_eexit(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    struct sgx_tcs *tcs = (struct sgx_tcs *)sgx_epc(cpu->enclave, cpu->tcs);

    if (!sgx_canonical(cpu->gpr[SGX_RBX]))
        return sgx_raise_gp(fault);
    cpu->rip = cpu->gpr[SGX_RBX];
    cpu->gpr[SGX_RCX] = tcs->aep;
    cpu->fsbase = cpu->saved_fsbase;
    cpu->gsbase = cpu->saved_gsbase;
    cpu->xcr0 = cpu->saved_xcr0;
    if (!cpu->dbgoptin)
        cpu->rflags = (cpu->rflags & ~SGX_FL_TF) | (cpu->saved_tf ? SGX_FL_TF : 0);
    cpu->pending_db = cpu->rflags & SGX_FL_TF;
    sgx_track_leave(cpu->enclave, cpu->epoch);
    cpu->enclave_mode = false;
    cpu->enclave = NULL;
    cpu->tcs = 0;
    __atomic_store_n(&tcs->state, SGX_TCS_INACTIVE, __ATOMIC_RELEASE);
    return true;
}

/* Moves to the frame below and restores nothing. URSP and URBP of that frame are those of the entry that used it. */
bool sgx_edeccssa(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    struct softsgx_enclave *e = cpu->enclave;
    struct sgx_tcs *tcs = (struct sgx_tcs *)sgx_epc(e, cpu->tcs);

    if (tcs->cssa == 0)
        return sgx_raise_gp(fault);
    if (!sgx_check_frame(e, e->base + sgx_frame_offset(e, tcs, tcs->cssa - 1), fault))
        return false;
    tcs->cssa -= 1;
    cpu->rip += SGX_ENCLU_LENGTH;
    return true;
}
