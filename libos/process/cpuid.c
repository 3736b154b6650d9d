/* SPDX-License-Identifier: Apache-2.0
 *
 * CPUID is illegal in an enclave: on a processor it raises #UD, and is answered here with what the host says. That is the
 * host's word like the number of processors; a wrong one can only make a program use what raises #UD, or not use what is
 * there. What the enclave's XFRM does not turn on is taken out, and an answer stays what it was. */
#include "libos/process/process.h"

#define ANSWERS 64

enum { EAX, EBX, ECX, EDX };
#define AVX (1ull << 2)
#define AVX512 (7ull << 5)
#define PKRU (1ull << 9)
#define AMX (3ull << 17)

/* Bits that mean nothing without parts of the vector state. */
static const struct { uint32_t leaf, subleaf, reg, bits; uint64_t needs; } state_bits[] = {
    {1, 0, ECX, 1u << 5 | 1u << 6, ~0ull},                          /* VMX, SMX: not in an enclave */
    {1, 0, ECX, 1u << 12 | 1u << 28 | 1u << 29, AVX},
    {7, 0, EBX, 1u << 5, AVX},
    {7, 0, EBX, 1u << 16 | 1u << 17 | 1u << 21 | 0xfu << 26 | 3u << 30, AVX512}, /* with SHA, see below */
    {7, 0, ECX, 1u << 9 | 1u << 10, AVX},
    {7, 0, ECX, 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14, AVX512},
    {7, 0, ECX, 1u << 3 | 1u << 4, PKRU},
    {7, 0, EDX, 1u << 2 | 1u << 3 | 1u << 8 | 1u << 23, AVX512},
    {7, 0, EDX, 1u << 22 | 1u << 24 | 1u << 25, AMX},
    {7, 1, EAX, 1u << 4 | 1u << 23, AVX},
    {7, 1, EAX, 1u << 5, AVX512},
    {7, 1, EAX, 1u << 21, AMX},
    {0x80000001, 0, ECX, 1u << 11 | 1u << 16 | 1u << 2, AVX},       /* XOP, FMA4; SVM */
};
#define SHA (1u << 29)              /* of leaf 7's EBX, among those of AVX-512; needs SSE only */

static lock_t answers_lock;
static struct { uint32_t leaf, subleaf, out[4]; } answer[ANSWERS];
static uint32_t answers;

static void take_out(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint64_t xfrm = enclave_xfrm();
    bool sha = leaf == 7 && !subleaf && out[EBX] & SHA;

    for (size_t i = 0; i < sizeof(state_bits) / sizeof(state_bits[0]); i++)
        if (state_bits[i].leaf == leaf && state_bits[i].subleaf == subleaf && (xfrm & state_bits[i].needs) != state_bits[i].needs)
            out[state_bits[i].reg] &= ~state_bits[i].bits;
    if (sha)
        out[EBX] |= SHA;
    if (leaf == 0xd && !subleaf) {
        out[EAX] &= (uint32_t)xfrm;
        out[EDX] &= (uint32_t)(xfrm >> 32);
    }
}

/* Leaves whose answers depend on ECX. */
static bool has_subleaves(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || (leaf >= 0xf && leaf <= 0x20) || leaf == 0x8000001d;
}

void cpuid_get(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t i = 0;

    if (!has_subleaves(leaf))
        subleaf = 0;
    lock(&answers_lock);
    while (i < answers && (answer[i].leaf != leaf || answer[i].subleaf != subleaf))
        i++;
    if (i < answers)
        memcpy(out, answer[i].out, sizeof(answer[i].out));
    unlock(&answers_lock);
    if (i < answers)
        return;
    memset(out, 0, 4 * sizeof(*out));
    if (ocall_cpuid(leaf, subleaf, out))
        return;
    take_out(leaf, subleaf, out);
    lock(&answers_lock);
    if (answers < ANSWERS) {
        answer[answers].leaf = leaf;
        answer[answers].subleaf = subleaf;
        memcpy(answer[answers++].out, out, sizeof(answer[0].out));
    }
    unlock(&answers_lock);
}

bool cpuid_emulate(struct checkpoint *regs)
{
    uint8_t bytes[2];
    uint32_t out[4];

    if (copy_from_user(bytes, (const void *)regs->rip, sizeof(bytes)) || bytes[0] != 0x0f || bytes[1] != 0xa2)
        return false;
    cpuid_get((uint32_t)regs->rax, (uint32_t)regs->rcx, out);
    regs->rax = out[EAX];
    regs->rbx = out[EBX];
    regs->rcx = out[ECX];
    regs->rdx = out[EDX];
    regs->rip += sizeof(bytes);
    return true;
}
