/* SPDX-License-Identifier: Apache-2.0
 *
 * What this processor enumerates. */
#include "softsgx/enclave.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#define CPUID_1_ECX_OSXSAVE    (1u << 27)
#define CPUID_7_EBX_SGX        (1u << 2)
#define CPUID_7_ECX_SGX_LC     (1u << 30)
#define CPUID_12_EAX_SGX1      (1u << 0)
#define CPUID_12_EAX_SGX2      (1u << 1)
#define CPUID_12_EAX_EDECCSSA  (1u << 11)

uint64_t sgx_settable_attributes(void)
{
    /* An older processor, for those who want to see what their software does on one. */
    uint64_t notify = getenv("SOFTSGX_WITHOUT_AEXNOTIFY") ? 0 : SGX_ATTR_AEXNOTIFY;
    return SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY | SGX_ATTR_EINITTOKENKEY | SGX_ATTR_KSS | notify;
}

/* x87, SSE, AVX and AVX-512 are what the kernel's signal frame always holds in standard format. PKRU is left out
 * because it is a thread's access right rather than data, AMX because the kernel grants it a thread at a time. */
uint64_t softsgx_xfrm(void)
{
    uint32_t eax, ebx, ecx, edx, low, high;
    uint64_t xfrm;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & CPUID_1_ECX_OSXSAVE))
        return SGX_XFRM_LEGACY;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    xfrm = low & (SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512);
    if (!(xfrm & SGX_XFRM_AVX) || (xfrm & SGX_XFRM_AVX512) != SGX_XFRM_AVX512)
        xfrm &= ~SGX_XFRM_AVX512;
    return xfrm;
}

static void leaf_12(uint32_t subleaf, uint32_t out[4])
{
    uint64_t attributes = sgx_settable_attributes(), xfrm = softsgx_xfrm();

    memset(out, 0, 4 * sizeof(out[0]));
    switch (subleaf) {
    case 0:
        out[0] = CPUID_12_EAX_SGX1 | CPUID_12_EAX_SGX2 | CPUID_12_EAX_EDECCSSA;
        out[1] = SGX_SETTABLE_MISC;
        out[3] = SGX_LOG2_MAX_SIZE_32 | SGX_LOG2_MAX_SIZE_64 << 8;
        break;
    case 1:
        out[0] = (uint32_t)attributes;
        out[1] = (uint32_t)(attributes >> 32);
        out[2] = (uint32_t)xfrm;
        out[3] = (uint32_t)(xfrm >> 32);
        break;
    case 2: /* one EPC section, as large as the largest enclave, right above it in an address space nobody sees */
        out[0] = 1;
        out[1] = 1u << (SGX_LOG2_MAX_SIZE_64 - 32);
        out[2] = 1;
        out[3] = 1u << (SGX_LOG2_MAX_SIZE_64 - 32);
        break;
    }
}

bool softsgx_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    if (leaf == 7) {
        __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
        if (subleaf == 0) {
            out[1] |= CPUID_7_EBX_SGX;
            out[2] |= CPUID_7_ECX_SGX_LC;
        }
        return true;
    }
    if (leaf == 0x12) {
        leaf_12(subleaf, out);
        return true;
    }
    return false;
}
