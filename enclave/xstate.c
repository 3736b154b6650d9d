/* SPDX-License-Identifier: Apache-2.0
 *
 * The application's extended state (x87, SSE, AVX ...), which stays live in the registers while the runtime works. */
#include "enclave/internal.h"

#define AREA_MAX (VIGIL_XSAVE_PAGES * VIGIL_PAGE)
#define PATTERN 0xa5

static size_t area_size;

static void mask(uint32_t *low, uint32_t *high)
{
    *low = (uint32_t)enclave_xfrm();
    *high = (uint32_t)(enclave_xfrm() >> 32);
}

void xstate_save(void *area)
{
    uint32_t low, high;
    mask(&low, &high);
    memset((char *)area + SGX_XSAVE_HEADER, 0, 64);
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
}

void xstate_init(void)
{
    static const struct { uint16_t fcw; char pad[22]; uint32_t mxcsr, mask; char rest[544]; } initial
        __attribute__((aligned(64))) = {.fcw = 0x37f, .mxcsr = 0x1f80};
    uint32_t low, high;
    mask(&low, &high);
    __asm__ volatile("xrstor64 (%0)" : : "r"(&initial), "a"(low), "d"(high) : "memory");
}

/* What would make XRSTOR fault: a feature outside XFRM, a compacted image, reserved MXCSR bits. */
bool xstate_restore(const void *area)
{
    const uint64_t *header = (const uint64_t *)((const char *)area + SGX_XSAVE_HEADER);
    uint32_t mxcsr = *(const uint32_t *)((const char *)area + SGX_XSAVE_MXCSR);
    uint32_t low, high;

    if (header[0] & ~enclave_xfrm())
        return false;
    for (int i = 1; i < 8; i++)
        if (header[i])
            return false;
    if (mxcsr & ~0xffffu)
        return false;
    mask(&low, &high);
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
    return true;
}

size_t xsave_area_size(void)
{
    return area_size;
}

bool xstate_in_use_known; /* for xstate_hide.S */

/* XGETBV(1) came with XSAVEC; CPUID, which would tell, is illegal in an enclave. Where it is not known it is #GP. */
static bool in_use_known(void)
{
    uint32_t low, high, known = 0;

    if (!(enclave_xfrm() & SGX_XFRM_AVX))
        return false;
    __asm__ volatile("1: xgetbv\n movl $1, %2\n2:\n" EX_TABLE("1b", "2b") : "=a"(low), "=d"(high), "+r"(known) : "c"(1));
    return known;
}

/* CPUID is illegal in an enclave, and where features lie differs between vendors; so the size is what XSAVE writes. In
 * the initial state every byte of a feature is written as zero. */
void xstate_measure(void)
{
    unsigned char *area = (unsigned char *)tcb_current() + VIGIL_GS_XSAVE;
    size_t n = AREA_MAX;

    if (enclave_xfrm() & ~(SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512))
        runtime_fail("this enclave's XFRM has features for which its XSAVE areas have no room");
    xstate_init();
    memset(area, PATTERN, AREA_MAX);
    xstate_save(area);
    while (n > SGX_XSAVE_MIN && area[n - 1] == PATTERN)
        n--;
    area_size = (n + 63) & ~(size_t)63;
    memset(area, 0, AREA_MAX);
    xstate_in_use_known = in_use_known();
}

int random_bytes(void *buf, size_t n)
{
    unsigned char *p = buf;
    while (n) {
        uint64_t value;
        unsigned char ok = 0;
        for (int tries = 0; tries < 100 && !ok; tries++)
            __asm__ volatile("rdrand %0\n setc %1" : "=r"(value), "=qm"(ok) : : "cc");
        if (!ok)
            return -LINUX_EIO;
        size_t chunk = n < sizeof(value) ? n : sizeof(value);
        memcpy(p, &value, chunk);
        p += chunk;
        n -= chunk;
    }
    return 0;
}
