/* SPDX-License-Identifier: Apache-2.0
 *
 * Every register a program can see, filled and compared; see registers.S. */
#ifndef TESTS_REGISTERS_H
#define TESTS_REGISTERS_H

#include "check.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct registers {
    uint64_t gpr[16];
    uint64_t rflags;
    uint64_t opmask[8];
    uint64_t unused[7];
    uint8_t fx[512]; /* FXSAVE64 image */
    uint8_t vector[32][64];
};
_Static_assert(sizeof(struct registers) == 2816, "known to registers.S");

extern struct registers registers_in, registers_out;
extern uint64_t registers_level, registers_spin;
void registers_syscall(void), registers_getppid(void), registers_jump_behind_mov(void);
void registers_syscall_across_pages(void), registers_ud2(void), registers_spin_here(void);
extern char registers_ud2_at[];

#define FX_FCW   0
#define FX_FSW   2
#define FX_FTW   4
#define FX_MXCSR 24
#define FX_ST    32
#define FX_XMM   160
#define FLAGS_COMPARED 0xcd5ul /* CF PF AF ZF SF DF OF */

static inline int registers_highest_level(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") ? 2 :
           __builtin_cpu_supports("avx") ? 1 : 0;
}

static inline const char *registers_level_name(int level)
{
    return level == 2 ? "AVX-512" : level == 1 ? "AVX" : "SSE";
}

static inline size_t registers_width(int level)
{
    return level == 2 ? 64 : level == 1 ? 32 : 16;
}

/* Random contents; all floating-point exceptions masked, rounding and precision anything. */
static inline void registers_fill(struct registers *r, uint64_t seed)
{
    uint64_t state = seed * 2654435761u + 1;
    uint8_t *bytes = (uint8_t *)r;
    for (size_t i = 0; i < sizeof(*r); i++)
        bytes[i] = random_next(&state);
    r->rflags = (r->rflags & FLAGS_COMPARED) | 0x202;
    uint16_t fcw = 0x7f | (random_next(&state) & 3) << 10 | 3 << 8, fsw = (random_next(&state) & 7) << 11;
    uint32_t mxcsr = 0x1f80 | (random_next(&state) & 3) << 13 | (random_next(&state) & 0x803f) | 0x40;
    memset(r->fx, 0, FX_ST);
    memcpy(r->fx + FX_FCW, &fcw, 2);
    memcpy(r->fx + FX_FSW, &fsw, 2);
    r->fx[FX_FTW] = 0xff;
    memcpy(r->fx + FX_MXCSR, &mxcsr, 4);
    for (int i = 0; i < 16; i++)
        memcpy(r->fx + FX_XMM + 16 * i, r->vector[i], 16);
}

static inline void registers_same_bytes(const void *got, const void *want, size_t size, const char *kind, int n)
{
    if (memcmp(got, want, size)) {
        checks_failed++;
        printf("  %s %d changed\n", kind, n);
    }
}

/* Compares everything but the general-purpose registers in `except` (a bit set). */
static inline void registers_compare(const struct registers *got, const struct registers *want, int level, unsigned except,
                                     uint64_t flags)
{
    for (int i = 0; i < 16; i++)
        if (i != RSP && !(except >> i & 1))
            registers_same_bytes(&got->gpr[i], &want->gpr[i], 8, "general-purpose register", i);
    CHECK_EQ(got->rflags & flags, want->rflags & flags);
    registers_same_bytes(got->fx, want->fx, 5, "x87 control, status or tag word", 0);
    registers_same_bytes(got->fx + FX_MXCSR, want->fx + FX_MXCSR, 4, "MXCSR", 0);
    for (int i = 0; i < 8; i++)
        registers_same_bytes(got->fx + FX_ST + 16 * i, want->fx + FX_ST + 16 * i, 10, "ST", i);
    for (int i = 0; i < 16; i++)
        registers_same_bytes(got->fx + FX_XMM + 16 * i, want->fx + FX_XMM + 16 * i, 16, "XMM", i);
    for (int i = 0; level >= 1 && i < (level == 2 ? 32 : 16); i++)
        registers_same_bytes(got->vector[i], want->vector[i], registers_width(level), level == 2 ? "ZMM" : "YMM", i);
    for (int i = 0; level == 2 && i < 8; i++)
        registers_same_bytes(&got->opmask[i], &want->opmask[i], 8, "opmask", i);
}

/* What a signal handler may do to the machine it runs on: everything. */
static inline void registers_trash(void)
{
    __asm__ volatile("fninit\n fldpi\n fldl2e\n fldz\n" : : : "memory");
    if (registers_level == 2)
        __asm__ volatile("vpternlogd $0xff, %%zmm0, %%zmm0, %%zmm0\n vmovdqa64 %%zmm0, %%zmm15\n vmovdqa64 %%zmm0, %%zmm31\n"
                         "kxnorq %%k1, %%k1, %%k1\n kxorq %%k7, %%k7, %%k7\n" : : : "memory");
    else if (registers_level == 1)
        __asm__ volatile("vzeroall\n vmovaps (%0), %%xmm3" : : "r"(registers_in.vector) : "memory");
    else
        __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n movdqa %%xmm0, %%xmm15" : : : "memory");
    uint32_t mxcsr = 0x9fc0; /* FTZ, DAZ */
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

#endif
