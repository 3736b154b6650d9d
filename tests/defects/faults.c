/* SPDX-License-Identifier: Apache-2.0
 *
 * B3: faults of the program itself. Each access of target_faults.c faults twice: undisturbed, and with an AEX in front,
 * so that the stub touches the bad page before the program does. The target checks signal, address, code and RIP.
 *
 * The flaw was: a fault that nobody can resolve is taken for one more interruption, and the mitigation runs into it
 * again, without end. */
#include "tests/defects/defects.h"
#include "tests/defects/target.h"

#include <stdio.h>
#include <string.h>

#define FAULTS_MAX 200 /* of the processor, in all: the probes' and the program's */

static struct {
    uint64_t rip[FAULT_CASES];
    bool interrupted[FAULT_CASES];
    unsigned rounds;
    uint64_t faults, in_stub;
    unsigned only; /* without EXINFO the first fault is the last: this one is interrupted or none (FAULT_CASES) */
    bool blind;
} now;

static bool look(int sig, siginfo_t *info, ucontext_t *uc)
{
    struct sgx_gprsgx gpr;

    (void)info;
    if (uc->uc_mcontext.gregs[REG_RIP] != (greg_t)aep)
        return false;
    lab_read(lab.tcb0 + VIGIL_GS_GPR0, &gpr, sizeof(gpr));
    if (sig == SIGSEGV)
        now.faults++;
    if (gpr.rip > lab.resume_begin && gpr.rip < lab.resume_end)
        lab_count[1] = ++now.in_stub;
    if (now.faults > FAULTS_MAX)
        lab_fail("faults without end, %lu of them in the stub; the last at 0x%lx", now.in_stub, gpr.rip, 0);
    /* The defect: a fault is an interruption like another. */
    if (lab_options.planted && sig == SIGSEGV && now.rounds > 1) {
        gpr.exitinfo = 0;
        lab_write(lab.tcb0 + VIGIL_GS_GPR0, &gpr, sizeof(gpr));
        return true;
    }
    return false;
}

static enum softsgx_action interrupt(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    for (int i = 0; i < FAULT_CASES; i++) {
        if (now.rip[i] != b->rip || now.interrupted[i])
            continue;
        now.interrupted[i] = true;
        lab_count[0]++;
        return SOFTSGX_AEX_RUN; /* without the breakpoint, which the decoder would read */
    }
    return SOFTSGX_RUN;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    if (now.rounds++ == 0 && !now.blind)
        return;
    for (unsigned i = 0; i < FAULT_CASES; i++)
        if (!now.blind || now.only == i)
            lab_break_at(now.rip[i], interrupt);
}

static void at_end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    for (unsigned i = 0; i < FAULT_CASES; i++)
        if (!now.interrupted[i])
            lab_fail("case %lu was not interrupted", i, 0, 0);
}

static void ready(void)
{
    lab_read(lab_target_symbol("fault_cases"), now.rip, sizeof(now.rip));
    lab_hook_faults(look);
    lab_break(lab_target_symbol("faults_begin"), begin);
    lab_break(lab_target_symbol("faults_end"), at_end);
    lab_count[2] = now.rip[0];
}

int b3(void)
{
    for (int legacy = 0; legacy < 2; legacy++) {
        memset(&now, 0, sizeof(now));
        if (lab_check(&(struct lab_run){.path = "faults", .flags = legacy ? LAB_LEGACY : 0, .ready = ready}))
            return 1;
        if (!legacy && !lab_count[1])
            return lab_fail("no probe met a bad page: nothing is tested", 0, 0, 0);
        defects_looked_at += lab_count[0];
    }
    /* The enclave is not told of page faults: it ends at the first, and says where. */
    for (unsigned flags = 0; flags < 4; flags++) {
        char wanted[64];

        memset(&now, 0, sizeof(now));
        now.blind = true;
        now.only = flags & 1 ? 0 : FAULT_CASES;
        struct lab_run run = {.path = "faults", .flags = LAB_NO_EXINFO | (flags & 2 ? LAB_LEGACY : 0), .ready = ready};
        if (lab_check_status(&run, SIGSEGV))
            return 1;
        snprintf(wanted, sizeof(wanted), "memory fault at 0x%lx,", lab_count[2]);
        if (!strstr(lab_errors, wanted))
            return lab_fail("without EXINFO the fault at 0x%lx is not reported as one", lab_count[2], 0, 0);
        defects_looked_at++;
    }
    return 0;
}
