/* SPDX-License-Identifier: Apache-2.0
 *
 * Constant time, by measurement: the way from an AEX to the application's next instruction is recorded by single-stepping, each
 * instruction with its address and the addresses of all memory it touches, and compared with the first one recorded:
 *
 *   values   the same instruction with other registers, memory and stack, and other instructions of the same page
 *   resume   the AEX hits the restartable resume, at each of its instructions, the execute probe's RET included
 *
 * All must be the same, but for the application's memory, which the decoder's fetch and the stub touch on purpose, and for the
 * random delay, which is at its longest here. Two things are known to show (docs/aex-notify.md), and are shown here to be
 * noticed: that an instruction lies on two pages, and that a page of code is interrupted for the first time.
 *
 * usage: constant_time --runtime FILE --target PROGRAM [--rounds N] */
#include "tests/defects/lab.h"

#include <Zydis/Zydis.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define LONGEST 8192
#define PLACES 256

struct entry { uint64_t rip, touched; };
struct trace { unsigned count; struct entry entry[LONGEST]; };

static struct trace reference, seen;
static uint64_t rounds = 8;

static enum { UNDISTURBED, LIST, WARM, VALUES, RESUME, CROSSING, FRESH, LAST } phase;
static uint64_t place[PLACES], places; /* the application's boundaries */
static uint64_t first_at, second_at, round_number, at, armed;
static enum { WALK, HANDLE, RECORD, RECORDED } state;
enum { COUNT_VALUES, COUNT_RESUME, COUNT_EXCEPTIONS, COUNT_LENGTH, COUNT_STAGE1 };

/* ---- what an instruction of the runtime touches ---- */

static uint64_t register_value(const struct softsgx_boundary *b, ZydisRegister reg)
{
    static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                      REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

    if (reg == ZYDIS_REGISTER_NONE)
        return 0;
    if (ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR64)
        lab_fail("an address by register %lu at 0x%lx", reg, b->rip, 0);
    return (uint64_t)b->uc->uc_mcontext.gregs[order[ZydisRegisterGetId(reg) & 15]];
}

/* The runtime's memory, as one number. The application's does not count, nor what stands in for it where a probe of the
 * stub is not wanted: the TCB. */
static uint64_t touched(const struct softsgx_boundary *b)
{
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction z;
    ZydisDecoder decoder;
    uint8_t code[15];
    uint64_t sum = 0;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    lab_read(b->rip, code, sizeof(code));
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, sizeof(code), &z, o)))
        lab_fail("no instruction at 0x%lx", b->rip, 0, 0);
    for (unsigned i = 0; i < z.operand_count; i++) {
        const ZydisDecodedOperandMem *m = &o[i].mem;
        if (o[i].type != ZYDIS_OPERAND_TYPE_MEMORY || m->type != ZYDIS_MEMOP_TYPE_MEM)
            continue;
        uint64_t address = m->disp.has_displacement ? (uint64_t)m->disp.value : 0;
        if (m->base == ZYDIS_REGISTER_RIP)
            address += b->rip + z.length;
        else
            address += register_value(b, m->base) + register_value(b, m->index) * m->scale;
        if (m->segment == ZYDIS_REGISTER_GS)
            address += b->tcs - VIGIL_GS_TCS;
        bool probe = lab_where(b) == LAB_RESUME && m->segment != ZYDIS_REGISTER_GS;
        if (!probe && address >= lab.runtime_low)
            sum = sum * 0x100000001b3ull + address;
    }
    return sum;
}

/* ---- one pass ---- */

static bool in_application(const struct softsgx_boundary *b)
{
    return lab_where(b) == LAB_APPLICATION;
}

static void record(const struct softsgx_boundary *b)
{
    if (seen.count == LONGEST)
        lab_fail("more than %lu instructions to the application", LONGEST, 0, 0);
    /* The ENCLU instructions and those of the application under the execute probe have no operands of interest. */
    seen.entry[seen.count++] = (struct entry){b->rip, b->rip >= lab.runtime_low ? touched(b) : 0};
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    switch (state) {
    case WALK:
        if (!in_application(b) || at++ != first_at)
            return SOFTSGX_GO;
        state = phase == RESUME ? HANDLE : RECORD;
        return SOFTSGX_AEX;
    case HANDLE:
        if (in_application(b))
            return SOFTSGX_RUN; /* the resume has no such instruction */
        if (lab_where(b) != LAB_RESUME || armed++ != second_at)
            return SOFTSGX_GO;
        state = RECORD;
        return SOFTSGX_AEX;
    case RECORD:
        if (!in_application(b)) {
            record(b);
            return SOFTSGX_GO;
        }
        state = RECORDED;
        return SOFTSGX_RUN;
    default:
        return SOFTSGX_RUN;
    }
}

static enum softsgx_action list(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->rip == lab.pass_end)
        return SOFTSGX_RUN;
    if (places == PLACES)
        lab_fail("more than %lu instructions in the pass", PLACES, 0, 0);
    place[places++] = b->rip;
    return SOFTSGX_GO;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    const uint64_t tcb = b->tcs - VIGIL_GS_TCS;

    (void)arg;
    lab_set_word(tcb + offsetof(struct tcb, random_bits), ~0ull);
    lab_set_word(tcb + offsetof(struct tcb, random_left), ~0ull);
    /* The detectors would trip now and then. */
    lab_set_word(tcb + offsetof(struct tcb, slow_run), 0);
    lab_set_word(tcb + offsetof(struct tcb, history), 0);
    lab_set_word(tcb + offsetof(struct tcb, little_recent), 0);
    seen.count = 0;
    at = armed = 0;
    state = WALK;
    if (phase == LAST)
        lab_last_pass(b);
    else if (phase == LIST)
        softsgx_step(list, NULL);
    else if (phase != UNDISTURBED)
        softsgx_step(step, NULL);
}

/* ---- from one pass to the next ---- */

/* Number of the entry in which they differ; their length if they do not. */
static unsigned difference(void)
{
    unsigned i = 0;

    while (i < seen.count && i < reference.count && !memcmp(&seen.entry[i], &reference.entry[i], sizeof(seen.entry[i])))
        i++;
    return i;
}

static void must_be_same(void)
{
    unsigned i = difference();

    if (i == seen.count && i == reference.count)
        return;
    if (i < seen.count && i < reference.count && seen.entry[i].rip == reference.entry[i].rip)
        lab_fail("at instruction %lu, 0x%lx, other memory is touched when the AEX is at 0x%lx", i, seen.entry[i].rip, place[first_at]);
    lab_fail("instruction %lu is the one at 0x%lx when the AEX is at 0x%lx", i,
             i < seen.count ? seen.entry[i].rip : 0, place[first_at]);
}

static void must_differ(void)
{
    if (seen.count == reference.count && difference() == seen.count)
        lab_fail("an exception that should show does not: AEX at 0x%lx", place[first_at], 0, 0);
    lab_count[COUNT_EXCEPTIONS]++;
}

static uint64_t index_of(uint64_t rip)
{
    for (uint64_t i = 0; i < places; i++)
        if (place[i] == rip)
            return i;
    lab_fail("0x%lx is not on the way", rip, 0, 0);
    return 0;
}

/* All but the ones with exceptions, which come last. */
static bool next_place(void)
{
    if (++first_at < index_of(lab_target_symbol("crossing_begin")))
        return true;
    first_at = 0;
    return false;
}

static unsigned stage1_length(void)
{
    for (unsigned i = 0; i < reference.count; i++)
        if (reference.entry[i].rip == lab.stage1_done)
            return i;
    return 0;
}

static void after_resume(void)
{
    if (state == RECORDED) {
        must_be_same();
        lab_count[COUNT_RESUME]++;
        second_at++;
        return;
    }
    if (!second_at)
        lab_fail("the resume was never hit", 0, 0, 0);
    phase = CROSSING;
    first_at = index_of(lab_target_symbol("crossing_begin"));
}

static void after_values(void)
{
    if (!reference.count) {
        reference = seen;
        lab_count[COUNT_LENGTH] = reference.count;
        lab_count[COUNT_STAGE1] = stage1_length();
    }
    must_be_same();
    lab_count[COUNT_VALUES]++;
    if (next_place() || ++round_number < rounds)
        return;
    phase = RESUME;
    first_at = 4;
}

static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (phase > LIST && phase != RESUME && phase != LAST && state != RECORDED)
        lab_fail("the AEX at 0x%lx did not lead back to the program", place[first_at], 0, 0);
    switch (phase) {
    case UNDISTURBED: phase = LIST; break;
    case LIST: phase = WARM, first_at = 0; break;
    case WARM: phase = VALUES; break; /* the page's RET has been found */
    case VALUES: after_values(); break;
    case RESUME: after_resume(); break;
    case CROSSING:
        must_differ();
        phase = FRESH;
        first_at = index_of(lab_target_symbol("fresh"));
        break;
    case FRESH:
        must_differ();
        phase = LAST;
        break;
    case LAST: break;
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"runtime", required_argument, NULL, 'r'}, {"target", required_argument, NULL, 't'},
                                          {"rounds", required_argument, NULL, 'n'}, {0}};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'r': lab_options.runtime = optarg; break;
        case 't': lab_options.target = realpath(optarg, NULL); break;
        case 'n': rounds = strtoul(optarg, NULL, 0); break;
        default: return 2;
        }
    }
    if (!lab_options.runtime || !lab_options.target || !rounds) {
        fprintf(stderr, "usage: constant_time --runtime FILE --target PROGRAM [--rounds N]\n");
        return 2;
    }
    if (lab_check(&(struct lab_run){.path = "", .begin = begin, .end = end})) {
        printf("constant time: FAILED: %s\n", lab_reason());
        return 1;
    }
    printf("constant time: stage 1 is %lu instructions, the whole way to the application %lu, the longest delay included\n"
           "  %lu traces with other instructions, registers and memory: same instructions, same addresses\n"
           "  %lu traces with the AEX in the resume, at each of its instructions: the same\n"
           "  %lu exceptions, as documented: an instruction on two pages, a code page seen for the first time\n",
           lab_count[COUNT_STAGE1], lab_count[COUNT_LENGTH], lab_count[COUNT_VALUES], lab_count[COUNT_RESUME],
           lab_count[COUNT_EXCEPTIONS]);
    return lab_count[COUNT_EXCEPTIONS] != 2;
}
