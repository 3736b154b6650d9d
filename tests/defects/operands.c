/* SPDX-License-Identifier: Apache-2.0
 *
 * B2: what the stub touches, as the host sees it. In front of each instruction of target_operands.c the host takes all
 * of its pages away and interrupts; each page is given back when it is asked for. Whatever the stub touches shows as a
 * page fault inside the resume, with its address and whether it was a write; what it fails to touch shows as a page
 * fault of the program.
 *
 * The flaw was: displacements without sign, no RIP-relative operands, no FS base, string instructions by the wrong
 * registers, and a write probe that believed all of it. */
#include "tests/defects/defects.h"
#include "tests/defects/target.h"

#include <string.h>
#include <sys/mman.h>

#define CASES_MAX 64
#define TOUCHES_MAX 16
enum { FIELD_R, FIELD_W, FIELD_D };

static struct operand_case cases[CASES_MAX];
static struct {
    const char *name;
    uint64_t low, pages;
} fields[] = {{"field_r", 0, 1}, {"field_w", 0, 2}, {"field_d", 0, 3}};

static struct touch {
    uint64_t address;
    bool write, stub;
} touches[TOUCHES_MAX];
static unsigned touch_count;
static int current = -1;
static bool spurious_planted;

static bool in_fields(uint64_t address)
{
    for (int i = 0; i < 3; i++)
        if (address - fields[i].low < fields[i].pages * VIGIL_PAGE)
            return true;
    return false;
}

/* The host's page table, and nothing else. */
static void protect_fields(int prot)
{
    for (int i = 0; i < 3; i++)
        if (mprotect((void *)fields[i].low, fields[i].pages * VIGIL_PAGE, prot))
            lab_fail("mprotect of 0x%lx", fields[i].low, 0, 0);
}

static bool note_touch(int sig, siginfo_t *info, ucontext_t *uc)
{
    uint64_t page = (uint64_t)info->si_addr & -(uint64_t)VIGIL_PAGE;
    bool write = uc->uc_mcontext.gregs[REG_ERR] & SGX_PFEC_W;
    struct sgx_gprsgx gpr;
    struct sgx_exinfo exinfo;

    if (sig != SIGSEGV || uc->uc_mcontext.gregs[REG_RIP] != (greg_t)aep || !in_fields(page))
        return false;
    /* The host sees the page only; the byte is in the enclave. */
    lab_read(lab.tcb0 + VIGIL_GS_EXINFO0, &exinfo, sizeof(exinfo));
    uint64_t address = exinfo.maddr;
    lab_read(lab.tcb0 + VIGIL_GS_GPR0, &gpr, sizeof(gpr));
    if (touch_count == TOUCHES_MAX)
        lab_fail("case %lu: page faults without end, the last at 0x%lx", (uint64_t)current, address, 0);
    touches[touch_count++] = (struct touch){
        .address = address, .write = write, .stub = gpr.rip > lab.resume_begin && gpr.rip < lab.resume_end};
    if (mprotect((void *)page, VIGIL_PAGE, PROT_READ | (write ? PROT_WRITE : 0)))
        lab_fail("mprotect of 0x%lx", page, 0, 0);
    return true;
}

static bool is_page_of(uint64_t address, uint64_t operand)
{
    return operand && (address ^ operand) < VIGIL_PAGE && address / VIGIL_PAGE == operand / VIGIL_PAGE;
}

/* After the instruction: every touch was the operand's, and all of the operand was touched by the stub. */
static void judge(void)
{
    const struct operand_case *c = &cases[current];
    bool read = !c->read, written = !c->write, last_written = !c->write;
    uint64_t last = c->write + c->size - 1;

    for (unsigned i = 0; i < touch_count; i++) {
        const struct touch *t = &touches[i];
        if (!t->stub && c->may_miss)
            continue;
        if (!t->stub)
            lab_fail("case %lu: the stub left out 0x%lx, which the instruction at 0x%lx touches", (uint64_t)current,
                     t->address, c->rip);
        if (t->write && (!c->write || t->address < c->write || t->address > last))
            lab_fail("case %lu: a write probe at 0x%lx, where the instruction at 0x%lx does not write",
                     (uint64_t)current, t->address, c->rip);
        if (!is_page_of(t->address, c->read) && !is_page_of(t->address, c->write) &&
            !(c->write && is_page_of(t->address, last)))
            lab_fail("case %lu: the stub touches 0x%lx, which is no operand of 0x%lx", (uint64_t)current, t->address,
                     c->rip);
        read |= is_page_of(t->address, c->read);
        written |= t->write && is_page_of(t->address, c->write);
        last_written |= t->write && is_page_of(t->address, last);
    }
    if (!c->may_miss && (!read || !written || !last_written))
        lab_fail("case %lu: the stub did not touch the operand at 0x%lx (the last of its bytes: 0x%lx)",
                 (uint64_t)current, c->read ? c->read : c->write, last);
    lab_count[0]++;
}

/* The defect: the plan of case 10 (lodsb) says that it writes where R14 points. */
static enum softsgx_action plant(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (current == 10 && !spurious_planted && b->cssa == 0) {
        spurious_planted = true;
        lab_set_word(b->tcs - VIGIL_GS_TCS + TCB_PLAN_WRITE0, fields[FIELD_D].low + 64);
    }
    return SOFTSGX_GO;
}

static enum softsgx_action at_case(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (current >= 0)
        judge();
    for (current = 0; cases[current].rip != b->rip; current++)
        if (!cases[current].rip)
            lab_fail("no case at 0x%lx", b->rip, 0, 0);
    touch_count = 0;
    protect_fields(PROT_NONE);
    return SOFTSGX_AEX_RUN; /* without the breakpoint, which the decoder would read */
}

static void at_end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    if (current < 0)
        return; /* the undisturbed round */
    judge();
    protect_fields(PROT_READ | PROT_WRITE);
}

static void at_begin(void *arg, const struct softsgx_boundary *b)
{
    static unsigned rounds;

    (void)arg, (void)b;
    if (rounds++ == 0)
        return;
    for (int i = 0; i < 3; i++)
        fields[i].low = lab_target_symbol(fields[i].name);
    lab_read(lab_target_symbol("operand_cases"), cases, sizeof(cases[0]));
    for (int i = 0; i < CASES_MAX - 1; i++) {
        lab_read(lab_target_symbol("operand_cases") + (uint64_t)i * sizeof(cases[0]), &cases[i], sizeof(cases[0]));
        if (!cases[i].rip)
            break;
        lab_break_at(cases[i].rip, at_case);
    }
    lab_hook_faults(note_touch);
    if (lab_options.planted)
        lab_break_at(lab.resume_begin, plant);
}

static void ready(void)
{
    lab_break(lab_target_symbol("operands_begin"), at_begin);
    lab_break(lab_target_symbol("operands_end"), at_end);
}

int b2(void)
{
    int failed = lab_check(&(struct lab_run){.path = "operands", .ready = ready});

    defects_looked_at = lab_count[0];
    return failed;
}
