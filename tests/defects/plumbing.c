/* SPDX-License-Identifier: Apache-2.0
 *
 * B5, B7: what the way from an AEX back to the program executes: instruction by instruction, no source text. */
#include "tests/defects/defects.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- stepping from one notification to the next ---- */
static struct {
    unsigned passes;
    bool on_the_way;             /* an AEX was taken, the program has not been reached again */
    bool replayed, loaded;
    unsigned xrstor, xsave;
    uint64_t xrstor_at;
    uint64_t depth[2], wanted[2];/* of the stage-1 stack and the kernel stack, below their tops */
    struct _libc_xmmreg xmm[16];
} way;

static void begin_way(const struct softsgx_boundary *b)
{
    way.on_the_way = true;
    way.xrstor = way.xsave = 0;
    way.depth[0] = way.depth[1] = 0;
    way.loaded = false;
    memcpy(way.xmm, b->uc->uc_mcontext.fpregs->_xmm, sizeof(way.xmm));
    lab_count[0]++;
}

#define FIRST_ONES 20
enum { OTHER, SAVES, RESTORES };

/* Does this instruction save or restore extended state? */
static int extended_state(uint64_t rip)
{
    uint8_t code[16];
    unsigned i = 0;

    lab_read(rip, code, sizeof(code));
    while (i < 8 && (code[i] == 0x66 || code[i] == 0xf2 || code[i] == 0xf3 || code[i] == 0x64 || code[i] == 0x65 ||
                     (code[i] & 0xf0) == 0x40))
        i++;
    unsigned reg = code[i + 2] >> 3 & 7;
    if (code[i] != 0x0f || code[i + 2] >> 6 == 3)
        return OTHER;
    if (code[i + 1] == 0xae) /* FXSAVE FXRSTOR LDMXCSR STMXCSR XSAVE XRSTOR XSAVEOPT CLFLUSH */
        return reg == 0 || reg == 4 || reg == 6 ? SAVES : reg == 1 || reg == 5 ? RESTORES : OTHER;
    if (code[i + 1] == 0xc7) /* XRSTORS XSAVEC XSAVES */
        return reg == 3 ? RESTORES : reg == 4 || reg == 5 ? SAVES : OTHER;
    return OTHER;
}

/* The pass's application instructions are interrupted one after the other. */
static bool interrupt_here(const struct softsgx_boundary *b)
{
    static uint64_t last;

    if (way.on_the_way || b->rip == last) { /* back from the AEX: it is executed now */
        last = way.on_the_way ? b->rip : 0;
        return false;
    }
    last = b->rip;
    return true;
}

static void pass_begin(softsgx_step_fn step, const struct softsgx_boundary *b)
{
    if (!way.passes++) /* the undisturbed one */
        return;
    lab_last_pass(b);
    softsgx_step(step, NULL);
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (way.passes > 1 && lab_count[0] < 2 * FIRST_ONES)
        lab_fail("only %lu notifications", lab_count[0], 0, 0);
}

/* ---- B5 -------------------------------------------------------------------------------------------------------------
 * The flaw was: three XRSTORs and a copy of the XSAVE image for each notification, and a frame on the program's stack.
 * */
static void note_depth(const struct softsgx_boundary *b)
{
    static const int low[] = {VIGIL_GS_S1STACK_LOW, VIGIL_GS_KSTACK_LOW},
                     top[] = {VIGIL_GS_S1STACK_TOP, VIGIL_GS_KSTACK_TOP};
    uint64_t tcb = b->tcs - VIGIL_GS_TCS;

    for (int i = 0; i < 2; i++) {
        uint64_t depth = tcb + (uint64_t)(int64_t)top[i] - b->rsp;
        if (depth <= (uint64_t)(top[i] - low[i]) && depth > way.depth[i])
            way.depth[i] = depth;
    }
}

static void judge_way(void)
{
    if (way.xrstor != 1 || way.xsave)
        lab_fail("notification %lu: %lu XRSTOR, %lu XSAVE", lab_count[0], way.xrstor, way.xsave);
    if (!way.wanted[0])
        way.wanted[0] = way.depth[0];
    if (way.depth[0] != way.wanted[0] || !way.depth[0])
        lab_fail("notification %lu: %lu bytes of stage-1 stack, not %lu", lab_count[0], way.depth[0], way.wanted[0]);
    /* Now and then new random bits are fetched, which takes more. It happens early, and not deeper later. */
    if (lab_count[0] <= FIRST_ONES && way.depth[1] > way.wanted[1])
        way.wanted[1] = way.depth[1];
    if (way.depth[1] > way.wanted[1])
        lab_fail("notification %lu: %lu bytes of kernel stack, not %lu", lab_count[0], way.depth[1], way.wanted[1]);
    lab_count[1] = way.wanted[0], lab_count[2] = way.wanted[1];
}

static enum softsgx_action step_b5(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (lab_where(b) == LAB_APPLICATION) {
        bool here = interrupt_here(b);
        if (way.on_the_way)
            judge_way();
        way.on_the_way = false;
        if (!here)
            return SOFTSGX_GO;
        begin_way(b);
        return SOFTSGX_AEX;
    }
    if (!way.on_the_way)
        return SOFTSGX_GO;
    note_depth(b);
    /* The defect: one XRSTOR more. The instruction in front of it loads half of its mask: 8 bytes. */
    if (lab_options.planted && way.xrstor_at && !way.replayed) {
        way.replayed = true;
        b->uc->uc_mcontext.gregs[REG_RIP] = (greg_t)way.xrstor_at - 8;
        return SOFTSGX_GO;
    }
    int kind = extended_state(b->rip);
    way.xrstor += kind == RESTORES;
    way.xsave += kind == SAVES;
    if (kind == RESTORES)
        way.xrstor_at = b->rip;
    return SOFTSGX_GO;
}

static void begin_b5(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    pass_begin(step_b5, b);
}

int b5(void)
{
    memset(&way, 0, sizeof(way));
    int failed = lab_check(&(struct lab_run){.path = "compute", .begin = begin_b5, .end = end});
    defects_looked_at = lab_count[0];
    return failed;
}

/* ---- B7 -------------------------------------------------------------------------------------------------------------
 * The flaw was: nothing but luck keeps vector instructions out of the code that runs with the program's vector
 * registers live. tools/check-vector-instructions.sh looks for them in the build; here somebody has to look at the
 * tool. And from the XRSTOR to the program the registers themselves are watched, except inside the decoder, which uses
 * some and puts them back. */
static bool in_decoder(uint64_t rip)
{
    return rip - lab_runtime_symbol("decode") < lab_runtime_size("decode");
}

static enum softsgx_action step_b7(void *arg, const struct softsgx_boundary *b)
{
    struct _libc_xmmreg *xmm = b->uc->uc_mcontext.fpregs->_xmm;

    (void)arg;
    if (way.loaded && !in_decoder(b->rip) && memcmp(xmm, way.xmm, sizeof(way.xmm)))
        lab_fail("the program's vector registers have changed before 0x%lx, notification %lu", b->rip, lab_count[0], 0);
    if (lab_where(b) == LAB_APPLICATION) {
        bool here = interrupt_here(b);
        way.on_the_way = way.loaded = false;
        if (!here)
            return SOFTSGX_GO;
        begin_way(b);
        return SOFTSGX_AEX;
    }
    if (!way.on_the_way)
        return SOFTSGX_GO;
    if (way.xrstor) {
        way.loaded = true;
        /* The defect: an instruction of the runtime that uses one of them. */
        if (lab_options.planted && b->rip == lab.resume_begin)
            xmm[3].element[0] ^= 1;
    }
    way.xrstor += extended_state(b->rip) == RESTORES;
    return SOFTSGX_GO;
}

static void begin_b7(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    pass_begin(step_b7, b);
}

static int check_tool(const char *runtime)
{
    char tool[1024], output[4096];
    const char *argv[] = {"/bin/bash", tool, runtime, NULL};

    snprintf(tool, sizeof(tool), "%s/tools/check-vector-instructions.sh", lab_options.source);
    int status = lab_command(argv, output, sizeof(output));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* Where a function of the runtime lies in its file. */
static long file_offset(const char *elf, const char *function)
{
    const Elf64_Ehdr *eh = (const void *)elf;
    const Elf64_Phdr *ph = (const void *)(elf + eh->e_phoff);
    uint64_t address = lab_runtime_symbol(function);

    for (int i = 0; i < eh->e_phnum; i++)
        if (ph[i].p_type == PT_LOAD && address - ph[i].p_vaddr < ph[i].p_filesz)
            return (long)(address - ph[i].p_vaddr + ph[i].p_offset);
    return -1;
}

static const struct { const char *function; uint8_t code[6], length; } plants[] = {
    {"libos_syscall", {0x0f, 0x28, 0xc1}, 3},            /* movaps %xmm1, %xmm0 */
    {"runtime_stage2", {0xc5, 0xfd, 0x6f, 0xc1}, 4},     /* vmovdqa %ymm1, %ymm0 */
    {"mitigation_prepare", {0xd9, 0xe8}, 2},             /* fld1 */
    {"stage1", {0x0f, 0xef, 0xc1}, 3},                   /* pxor %mm1, %mm0 */
    {"libos_return", {0xc5, 0xf8, 0x77}, 3},             /* vzeroupper names no register */
    {"resume_block", {0xc5, 0xf8, 0xae, 0x10}, 4},       /* vldmxcsr (%rax) */
    {"decode", {0xc5, 0xf9, 0x6f, 0xc1}, 4},             /* vmovdqa %xmm1, %xmm0, where legacy SSE is allowed */
    {"libos_exception", {0xc4, 0xe1, 0xf8, 0x90, 0xc8}, 5}, /* kmovq %k0, %k1 */
};

/* A copy of the runtime with one vector instruction in a function: the tool must refuse it. */
static int check_plants(void)
{
    static char elf[8u << 20];
    char path[] = "/tmp/vigil-defects-XXXXXX";
    FILE *in = fopen(lab_options.runtime, "rb");
    size_t size = in ? fread(elf, 1, sizeof(elf), in) : 0;
    int fd = mkstemp(path), missed = -1;

    if (in)
        fclose(in);
    if (!size || size == sizeof(elf) || fd < 0)
        return lab_fail("the runtime cannot be copied", 0, 0, 0);
    for (size_t i = 0; i < sizeof(plants) / sizeof(plants[0]) && missed < 0; i++) {
        long at = file_offset(elf, plants[i].function);
        if (at < 0 || pwrite(fd, elf, size, 0) != (ssize_t)size ||
            pwrite(fd, plants[i].code, plants[i].length, at) != plants[i].length || check_tool(path) != 1)
            missed = (int)i;
    }
    close(fd);
    unlink(path);
    return missed < 0 ? 0
                      : lab_fail("planted vector instruction %lu: tools/check-vector-instructions.sh did not see it",
                                 (uint64_t)missed, 0, 0);
}

int b7(void)
{
    memset(&way, 0, sizeof(way));
    int failed = lab_check(&(struct lab_run){.path = "compute", .begin = begin_b7, .end = end});
    defects_looked_at = lab_count[0];
    if (failed)
        return 1;
    if (check_tool(lab_options.runtime))
        return lab_fail("there are vector instructions in the runtime: tools/check-vector-instructions.sh", 0, 0, 0);
    return check_plants();
}
