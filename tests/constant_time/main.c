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
 * noticed, for no other reason and to no greater extent: that an instruction lies on two pages (the decoder runs twice, with
 * other values in the same way), and that a page of code is interrupted for the first time (its RET is looked for, once).
 * A third is taken out of the addresses: which slot of the table of RETs is read. It must be the one of the code page's number.
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

static struct trace reference, crossing, seen;
static uint64_t rounds = 8;

static enum { UNDISTURBED, LIST, WARM, VALUES, RESUME, CROSSING, CROSSING_AGAIN, FRESH, FRESH_AGAIN, LAST } phase;
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

/* The slot of ret_table.c that belongs to the interrupted page of code counts as the first one; any other one as itself. */
static uint64_t without_code_page(uint64_t address)
{
    const uint64_t slot = 16, table = lab_runtime_symbol("ret_table"), size = lab_runtime_size("ret_table");
    const uint64_t own = place[first_at] / VIGIL_PAGE % (size / slot) * slot;

    return address - table - own < slot ? address - own : address;
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
            sum = sum * 0x100000001b3ull + without_code_page(address);
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
    /* The execute probe's RET, on the interrupted page of code: where on it does not count. */
    if (b->rip < lab.runtime_low && b->rip / VIGIL_PAGE != place[first_at] / VIGIL_PAGE)
        lab_fail("the execute probe goes to 0x%lx when the AEX is at 0x%lx", b->rip, place[first_at], 0);
    seen.entry[seen.count++] = b->rip < lab.runtime_low ? (struct entry){0} : (struct entry){b->rip, touched(b)};
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
static unsigned difference(const struct trace *from)
{
    unsigned i = 0;

    while (i < seen.count && i < from->count && !memcmp(&seen.entry[i], &from->entry[i], sizeof(seen.entry[i])))
        i++;
    return i;
}

static void must_equal(const struct trace *from)
{
    unsigned i = difference(from);

    if (i == seen.count && i == from->count)
        return;
    if (i < seen.count && i < from->count && seen.entry[i].rip == from->entry[i].rip)
        lab_fail("at instruction %lu, 0x%lx, other memory is touched when the AEX is at 0x%lx", i, seen.entry[i].rip, place[first_at]);
    lab_fail("instruction %lu is the one at 0x%lx when the AEX is at 0x%lx", i,
             i < seen.count ? seen.entry[i].rip : 0, place[first_at]);
}

static unsigned decoder_runs(const struct trace *trace)
{
    unsigned runs = 0;

    for (unsigned i = 0; i < trace->count; i++)
        runs += trace->entry[i].rip == lab_runtime_symbol("decode");
    return runs;
}

/* All else that could make a difference is known by now: the page is not a new one. */
static void must_decode_twice(void)
{
    if (decoder_runs(&reference) != 1 || decoder_runs(&seen) != 2)
        lab_fail("the decoder ran %lu times for an instruction on two pages, and %lu times for others", decoder_runs(&seen),
                 decoder_runs(&reference), 0);
    lab_count[COUNT_EXCEPTIONS]++;
}

/* The way parts in ret_table_find, and nowhere before. */
static void must_look_for_ret(void)
{
    unsigned i = difference(&reference);

    if (i == 0 || i == seen.count ||
        seen.entry[i - 1].rip - lab_runtime_symbol("ret_table_find") >= lab_runtime_size("ret_table_find"))
        lab_fail("a new page of code shows at instruction %lu of %lu, and not where its RET is looked for", i, seen.count, 0);
    if (decoder_runs(&seen) != 1)
        lab_fail("the decoder ran %lu times on a new page of code", decoder_runs(&seen), 0, 0);
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

/* The first place of the next page of code, up to the one that is crossed: so that none of them is new. */
static bool next_page(void)
{
    const uint64_t last = index_of(lab_target_symbol("crossing_begin")), page = place[first_at] / VIGIL_PAGE;

    while (++first_at < last)
        if (place[first_at] / VIGIL_PAGE != page)
            return true;
    first_at = 0;
    return false;
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
        must_equal(&reference);
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
    must_equal(&reference);
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
    case WARM: /* the page's RET has been found */
        if (!next_page())
            phase = VALUES;
        break;
    case VALUES: after_values(); break;
    case RESUME: after_resume(); break;
    case CROSSING:
        must_decode_twice();
        crossing = seen;
        phase = CROSSING_AGAIN;
        break;
    case CROSSING_AGAIN:
        must_equal(&crossing);
        phase = FRESH;
        first_at = index_of(lab_target_symbol("fresh"));
        break;
    case FRESH:
        must_look_for_ret();
        phase = FRESH_AGAIN;
        break;
    case FRESH_AGAIN:
        must_equal(&reference);
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
           "  %lu exceptions, as documented and no others: an instruction on two pages, a code page seen for the first time\n",
           lab_count[COUNT_STAGE1], lab_count[COUNT_LENGTH], lab_count[COUNT_VALUES], lab_count[COUNT_RESUME],
           lab_count[COUNT_EXCEPTIONS]);
    return lab_count[COUNT_EXCEPTIONS] != 2;
}
