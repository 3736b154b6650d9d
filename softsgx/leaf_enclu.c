/* SPDX-License-Identifier: Apache-2.0
 *
 * ENCLU: which leaf, and may it be executed here. */
#include "softsgx/enclave.h"

bool sgx_enclu(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    uint32_t leaf = (uint32_t)cpu->gpr[SGX_RAX];
    bool entry = leaf == SGX_EENTER || leaf == SGX_ERESUME;

    if (entry == cpu->enclave_mode) /* entries from outside only, everything else from inside only */
        return sgx_raise_gp(fault);
    cpu->pending_db = cpu->notified = false;
    switch (leaf) {
    case SGX_EREPORT:
        return sgx_ereport(cpu, fault);
    case SGX_EGETKEY:
        return sgx_egetkey(cpu, fault);
    case SGX_EENTER:
        return sgx_eenter(cpu, fault);
    case SGX_ERESUME:
        return sgx_eresume(cpu, fault);
    case SGX_EEXIT:
        return sgx_eexit(cpu, fault);
    case SGX_EACCEPT:
        return sgx_eaccept(cpu, fault);
    case SGX_EMODPE:
        return sgx_emodpe(cpu, fault);
    case SGX_EACCEPTCOPY:
        return sgx_eacceptcopy(cpu, fault);
    case SGX_EDECCSSA:
        return sgx_edeccssa(cpu, fault);
    default:
        return sgx_raise_gp(fault);
    }
}
