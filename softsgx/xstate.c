/* SPDX-License-Identifier: Apache-2.0
 *
 * Extended state: XSAVE and XRSTOR between the live image (standard format, as in a signal frame) and the XSAVE area
 * of an SSA frame (standard format as well, features XFRM). */
#include "softsgx/enclave.h"

#include <cpuid.h>
#include <pthread.h>
#include <string.h>

#define X87_FEATURE 0
#define SSE_FEATURE 1
#define FIRST_EXTENDED 2
#define LAST_EXTENDED 7 /* Hi16_ZMM: the highest feature softsgx_xfrm() can name */

#define XCOMP_BV 520       /* and eight more bytes: must be zero in standard format */
#define XMM_AREA 160
#define XMM_SIZE 256 /* bytes 416-511 are never touched: XSAVE does not, the kernel keeps its frame magic there */
#define X87_AREA 32
#define FCW_INIT 0x037fu
#define MXCSR_RESERVED 0xffff0000u

static struct { uint32_t offset, size; } component[LAST_EXTENDED + 1];

static void read_components(void)
{
    for (uint32_t i = FIRST_EXTENDED; i <= LAST_EXTENDED; i++) {
        uint32_t size = 0, offset = 0, ecx, edx;

        if (softsgx_xfrm() & (1ull << i))
            __get_cpuid_count(0xd, i, &size, &offset, &ecx, &edx);
        component[i].offset = offset;
        component[i].size = size;
    }
}

void sgx_xstate_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, read_components);
}

uint32_t sgx_xsave_size(uint64_t xfrm)
{
    uint32_t end = SGX_XSAVE_MIN;

    for (uint32_t i = FIRST_EXTENDED; i <= LAST_EXTENDED; i++)
        if ((xfrm & (1ull << i)) && component[i].offset + component[i].size > end)
            end = component[i].offset + component[i].size;
    return end;
}

static uint64_t get64(const uint8_t *area, uint32_t offset)
{
    uint64_t value;

    memcpy(&value, area + offset, 8);
    return value;
}

static void put64(uint8_t *area, uint32_t offset, uint64_t value)
{
    memcpy(area + offset, &value, 8);
}

/* One component to its initial configuration, as XSAVE would write it. MXCSR is not part of any component here. */
static void init_component(uint8_t *area, uint32_t feature)
{
    const uint16_t fcw = FCW_INIT;

    if (feature == X87_FEATURE) {
        memset(area, 0, SGX_XSAVE_MXCSR);
        memcpy(area + SGX_XSAVE_FCW, &fcw, 2);
        memset(area + X87_AREA, 0, XMM_AREA - X87_AREA);
    } else if (feature == SSE_FEATURE) {
        memset(area + XMM_AREA, 0, XMM_SIZE);
    } else {
        memset(area + component[feature].offset, 0, component[feature].size);
    }
}

static void copy_component(uint8_t *to, const uint8_t *from, uint32_t feature)
{
    if (feature == X87_FEATURE) {
        memcpy(to, from, SGX_XSAVE_MXCSR);
        memcpy(to + X87_AREA, from + X87_AREA, XMM_AREA - X87_AREA);
    } else if (feature == SSE_FEATURE) {
        memcpy(to + XMM_AREA, from + XMM_AREA, XMM_SIZE);
    } else {
        memcpy(to + component[feature].offset, from + component[feature].offset, component[feature].size);
    }
}

/* Does the live image have room for this feature? A kernel that leaves a feature out of its frames keeps none. */
static bool live(const struct sgx_cpu *cpu, uint32_t feature)
{
    if (feature < FIRST_EXTENDED)
        return true;
    /* cppcheck-suppress arrayIndexOutOfBoundsCond; feature is a bit of XFRM that cpuid.c allows */
    return component[feature].size && component[feature].offset + component[feature].size <= cpu->xsave_size;
}

static void transfer(uint8_t *to, const uint8_t *from, uint64_t from_bv, uint32_t feature)
{
    if (from_bv & (1ull << feature))
        copy_component(to, from, feature);
    else
        init_component(to, feature);
}

void sgx_xstate_save(const struct sgx_cpu *cpu, uint64_t xfrm, uint8_t *area)
{
    const uint8_t *image = cpu->xsave;
    uint64_t bv = get64(image, SGX_XSAVE_HEADER) & xfrm;

    for (uint32_t i = 0; i <= LAST_EXTENDED; i++) {
        if (!(xfrm & (1ull << i)))
            continue;
        if (!live(cpu, i))
            bv &= ~(1ull << i);
        transfer(area, image, bv, i);
    }
    memcpy(area + SGX_XSAVE_MXCSR, image + SGX_XSAVE_MXCSR, 8); /* MXCSR and its mask, whatever XSTATE_BV says */
    put64(area, SGX_XSAVE_HEADER, bv);
    memset(area + XCOMP_BV, 0, 16);
}

/* Everything the enclave could have reached is wiped from the image itself, not only unmarked in XSTATE_BV: the image
 * lies on a host stack. Features that softsgx cannot keep (PKRU ...) stay as they are. */
static uint64_t init_all(struct sgx_cpu *cpu)
{
    uint8_t *image = cpu->xsave;
    uint64_t kept = get64(image, SGX_XSAVE_HEADER);

    for (uint32_t i = 0; i <= LAST_EXTENDED; i++) {
        if (!live(cpu, i))
            continue;
        init_component(image, i);
        kept &= ~(1ull << i);
    }
    return kept;
}

void sgx_xstate_synthetic(struct sgx_cpu *cpu, int vector)
{
    uint8_t *image = cpu->xsave;
    uint16_t fcw = vector == SGX_VEC_MF ? 0x037e : FCW_INIT, fsw = vector == SGX_VEC_MF ? 0x8081 : 0;
    uint32_t mxcsr = vector == SGX_VEC_XM ? 0x1f01 : 0x1fb0;
    uint64_t bv = init_all(cpu);

    memcpy(image + SGX_XSAVE_FCW, &fcw, 2);
    memcpy(image + SGX_XSAVE_FSW, &fsw, 2);
    memcpy(image + SGX_XSAVE_MXCSR, &mxcsr, 4);
    /* The x87 values count only with bit 0. XRSTOR takes MXCSR from memory in any case, but a kernel that has to
     * restore the frame in software looks at bit 1 first; with all XMM zero the bit changes nothing else. */
    bv |= 1ull << SSE_FEATURE;
    if (fsw)
        bv |= 1ull << X87_FEATURE;
    put64(image, SGX_XSAVE_HEADER, bv);
}

bool sgx_xstate_valid(uint64_t xfrm, const uint8_t *area)
{
    uint32_t mxcsr;

    memcpy(&mxcsr, area + SGX_XSAVE_MXCSR, 4);
    return !(get64(area, SGX_XSAVE_HEADER) & ~xfrm) && !get64(area, XCOMP_BV) && !get64(area, XCOMP_BV + 8) &&
           !(mxcsr & MXCSR_RESERVED);
}

void sgx_xstate_load(struct sgx_cpu *cpu, uint64_t xfrm, const uint8_t *area)
{
    uint8_t *image = cpu->xsave;
    uint64_t from = get64(area, SGX_XSAVE_HEADER) & xfrm, bv = init_all(cpu);
    uint32_t mxcsr;

    for (uint32_t i = 0; i <= LAST_EXTENDED; i++) {
        if (!(from & (1ull << i)) || !live(cpu, i))
            continue;
        copy_component(image, area, i);
        bv |= 1ull << i;
    }
    memcpy(&mxcsr, area + SGX_XSAVE_MXCSR, 4);
    mxcsr &= ~MXCSR_RESERVED; /* another enclave thread may have written the frame since it was checked */
    memcpy(image + SGX_XSAVE_MXCSR, &mxcsr, 4);
    put64(image, SGX_XSAVE_HEADER, bv | 1ull << SSE_FEATURE); /* for MXCSR, as above */
}
