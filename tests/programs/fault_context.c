/* SPDX-License-Identifier: Apache-2.0
 *
 * The context that a fault handler gets is the interrupted machine, register for register, and what the handler writes
 * there is the machine that goes on. */
#include "registers.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

/* gregs index of each element of struct registers.gpr */
static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static int highest;
static bool change;
static struct registers wanted; /* what must be there after the handler */
static volatile int handled;
static uint64_t flags_in_handler;

/* Linux's extended frame: software bytes at 464 say that an XSAVE image follows the FXSAVE one. */
#define XSTATE_MAGIC1 0x46505853u
#define XSTATE_MAGIC2 0x46505845u

static uint8_t *component(uint8_t *image, int number)
{
    uint32_t size, offset, unused1, unused2;
    __asm__("cpuid" : "=a"(size), "=b"(offset), "=c"(unused1), "=d"(unused2) : "a"(0xd), "c"(number));
    return image + offset;
}

static void compare_or_change(uint8_t *bytes, uint8_t *want, size_t size, const char *what, int n)
{
    registers_same_bytes(bytes, want, size, what, n);
    for (size_t i = 0; change && i < size; i++)
        bytes[i] = want[i] = ~want[i];
}

static void vectors_in_frame(uint8_t *fx)
{
    for (int i = 0; i < 16; i++)
        compare_or_change(fx + FX_XMM + 16 * i, wanted.vector[i], 16, "XMM in the frame", i);
    for (int i = 0; i < 8; i++)
        compare_or_change(fx + FX_ST + 16 * i, wanted.fx + FX_ST + 16 * i, 10, "ST in the frame", i);
    registers_same_bytes(fx + FX_MXCSR, wanted.fx + FX_MXCSR, 4, "MXCSR in the frame", 0);
    registers_same_bytes(fx + FX_FCW, wanted.fx + FX_FCW, 2, "x87 control word in the frame", 0);
    uint32_t magic, size, magic2;
    uint64_t features;
    memcpy(&magic, fx + 464, 4);
    memcpy(&size, fx + 468, 4);
    memcpy(&features, fx + 472, 8);
    if (highest == 0)
        return;
    CHECK_EQ(magic, XSTATE_MAGIC1);
    if (magic != XSTATE_MAGIC1)
        return;
    memcpy(&magic2, fx + size - 4, 4);
    CHECK_EQ(magic2, XSTATE_MAGIC2);
    CHECK_EQ(features & 7, 7);
    for (int i = 0; registers_level >= 1 && i < 16; i++)
        compare_or_change(component(fx, 2) + 16 * i, wanted.vector[i] + 16, 16, "YMM half in the frame", i);
    if (registers_level < 2)
        return;
    CHECK_EQ(features & 0xe7, 0xe7);
    for (int i = 0; i < 8; i++)
        compare_or_change(component(fx, 5) + 8 * i, (uint8_t *)&wanted.opmask[i], 8, "opmask in the frame", i);
    for (int i = 0; i < 16; i++)
        compare_or_change(component(fx, 6) + 32 * i, wanted.vector[i] + 32, 32, "ZMM half in the frame", i);
    for (int i = 16; i < 32; i++)
        compare_or_change(component(fx, 7) + 64 * (i - 16), wanted.vector[i], 64, "ZMM in the frame", i);
}

static void handler(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *gregs = uc->uc_mcontext.gregs;
    __asm__ volatile("pushfq\n pop %0" : "=r"(flags_in_handler));
    handled++;
    CHECK_EQ(sig, SIGILL);
    CHECK_EQ((uint64_t)info->si_addr, (uint64_t)registers_ud2_at);
    CHECK_EQ(gregs[REG_RIP], (uint64_t)registers_ud2_at);
    CHECK_EQ((uintptr_t)uc % 16, 0); /* the return address is below it */
    for (int i = 0; i < 16; i++)
        if (i != RSP)
            compare_or_change((uint8_t *)&gregs[greg_of[i]], (uint8_t *)&wanted.gpr[i], 8, "register in the frame", i);
    CHECK_EQ(gregs[REG_EFL] & FLAGS_COMPARED, wanted.rflags & FLAGS_COMPARED);
    if (change)
        gregs[REG_EFL] ^= FLAGS_COMPARED, wanted.rflags ^= FLAGS_COMPARED;
    REQUIRE(uc->uc_mcontext.fpregs != NULL);
    vectors_in_frame((uint8_t *)uc->uc_mcontext.fpregs);
    gregs[REG_RIP] += 2;
    registers_trash(); /* its own registers, not the interrupted ones */
}

static void rounds(bool changing)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
    REQUIRE(sigaction(SIGILL, &action, NULL) == 0);
    change = changing;
    for (registers_level = 0; (int)registers_level <= highest; registers_level++) {
        for (int i = 0; i < 25; i++) {
            registers_fill(&registers_in, i);
            wanted = registers_in;
            handled = 0;
            registers_ud2();
            for (int j = 0; j < 16; j++)
                memcpy(wanted.fx + FX_XMM + 16 * j, wanted.vector[j], 16);
            CHECK_EQ(handled, 1);
            CHECK_EQ(flags_in_handler & 0x500, 0); /* DF and TF are clear */
            registers_compare(&registers_out, &wanted, registers_level, 0, FLAGS_COMPARED);
        }
    }
    registers_level = 0;
}

static void unchanged(void)
{
    rounds(false);
}

static void changed(void)
{
    rounds(true);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "context as it was", unchanged },
        { "context as the handler left it", changed },
    };
    highest = registers_highest_level();
    printf("vector registers: %s\n", registers_level_name(highest));
    return RUN_SECTIONS(sections, argc, argv);
}
