/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder against Zydis: every instruction of the text of programs, and generated encodings, with pseudo-random
 * register values. Compared are the length, every memory access (address, size, kind). "Not known" is
 * counted, a wrong answer ends in exit status 1.
 *
 * usage: differential [--seed N] [--generate N] [--every N] [--minimum PERCENT] [FILE ...] */
#include "enclave/notify/decode.h"

#include <Zydis/Zydis.h>
#include <elf.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t seed = 1;
static ZydisDecoder decoder;
static uint64_t instructions, operands, resolved, known, wrong, cuts;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull;
}

/* Small, large, negative and high values. */
static uint64_t random_value(void)
{
    uint64_t v = next_random();

    switch (next_random() % 6) {
    case 0: return v & 0xff;
    case 1: return v & 0xffffff;
    case 2: return -(v & 0xffff);
    case 3: return v | 1ull << 63;
    default: return v;
    }
}

static void random_registers(struct checkpoint *regs)
{
    uint64_t *word = (uint64_t *)regs;

    for (size_t i = 0; i < sizeof(*regs) / 8; i++)
        word[i] = random_value();
    if (next_random() % 4 == 0)
        regs->rcx = next_random() % 2 << 32;
    regs->rflags &= ~0x400ull;
}

struct access { uint64_t address, size, kind; };
struct expected {
    struct access access[4];
    unsigned count;
    bool uncertain;            /* Zydis itself says that an access depends on data */
    bool explicit_operand;     /* an explicit memory operand that is not the stack's and is accessed */
    bool string_is_empty;
};

static uint64_t register_value(const struct checkpoint *regs, ZydisRegister reg)
{
    const uint64_t *gpr = &regs->rax;

    if (reg == ZYDIS_REGISTER_NONE)
        return 0;
    uint64_t value = gpr[ZydisRegisterGetId(reg) & 15];
    return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR32 ? (uint32_t)value : value;
}

static uint64_t operand_address(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o,
                                const struct checkpoint *regs, uint64_t gsbase)
{
    uint64_t address = o->mem.disp.has_displacement ? (uint64_t)o->mem.disp.value : 0;

    /* Zydis 4.0: with 67 and REX.B it takes SIB base 5 without a displacement mode for R13D; REX.B does not matter there
     * (SDM volume 2, table 2-5), and the length it gives includes the displacement. */
    if (z->address_width == 32 && o->mem.base == ZYDIS_REGISTER_R13D && z->raw.modrm.mod == 0 && z->raw.modrm.rm == 4)
        address = (uint64_t)z->raw.disp.value;
    else if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)
        address += regs->rip + z->length;
    else
        address += register_value(regs, o->mem.base);
    address += register_value(regs, o->mem.index) * o->mem.scale;
    if (z->address_width == 32)
        address = (uint32_t)address;
    if (o->mem.segment == ZYDIS_REGISTER_FS)
        address += regs->fsbase;
    if (o->mem.segment == ZYDIS_REGISTER_GS)
        address += gsbase;
    return address;
}

static bool touches_nothing(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_NOP: case ZYDIS_MNEMONIC_LEA: case ZYDIS_MNEMONIC_PREFETCH: case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0: case ZYDIS_MNEMONIC_PREFETCHT1: case ZYDIS_MNEMONIC_PREFETCHT2:
    case ZYDIS_MNEMONIC_CLDEMOTE: /* hints: they never fault */
    case ZYDIS_MNEMONIC_PREFETCHW: case ZYDIS_MNEMONIC_PREFETCHWT1:
        return true;
    default:
        return false;
    }
}

static bool is_bit_string(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTC:
        return o[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
    default:
        return false;
    }
}

/* SDM, BT: the register is a signed index of bits into memory, which is accessed in units of the operand size. */
static uint64_t bit_string_offset(const struct checkpoint *regs, const ZydisDecodedOperand *index)
{
    uint64_t value = (&regs->rax)[ZydisRegisterGetId(index->reg.value) & 15];

    switch (index->size) {
    case 16: return (uint64_t)((int64_t)(int16_t)value >> 4) * 2;
    case 32: return (uint64_t)((int64_t)(int32_t)value >> 5) * 4;
    default: return (uint64_t)((int64_t)value >> 6) * 8;
    }
}

static void expect(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o, const struct checkpoint *regs,
                   uint64_t gsbase, struct expected *e)
{
    uint64_t count = z->address_width == 32 ? (uint32_t)regs->rcx : regs->rcx;
    bool repeats = z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

    struct checkpoint popped = *regs;
    popped.rsp += 8;
    *e = (struct expected){.string_is_empty = repeats && !count};
    for (unsigned i = 0; i < z->operand_count; i++) {
        bool reads = o[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ, writes = o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
        if (o[i].type != ZYDIS_OPERAND_TYPE_MEMORY || o[i].mem.type == ZYDIS_MEMOP_TYPE_AGEN || touches_nothing(z->mnemonic) ||
            (!reads && !writes))
            continue;
        bool visible = o[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
        e->explicit_operand |= visible;
        if (o[i].mem.type != ZYDIS_MEMOP_TYPE_MEM)
            e->uncertain = true;
        struct access *a = &e->access[e->count++ & 3];
        *a = (struct access){operand_address(z, &o[i], regs, gsbase), o[i].size / 8, (uint64_t)reads | (uint64_t)writes << 1};
        if (visible && is_bit_string(z, o))
            a->address += bit_string_offset(regs, &o[1]);
        /* The stack: 64-bit addresses in 64-bit mode, whatever 67 says (SDM volume 1, 6.2.5); and Zydis names RSP as it
         * is before a push. */
        if (!visible && o[i].mem.segment == ZYDIS_REGISTER_SS &&
            (o[i].mem.base == ZYDIS_REGISTER_RSP || o[i].mem.base == ZYDIS_REGISTER_ESP))
            a->address = regs->rsp - (writes ? a->size : 0);
        /* POP to memory: the address is computed with RSP already moved. */
        if (visible && z->mnemonic == ZYDIS_MNEMONIC_POP &&
            (o[i].mem.base == ZYDIS_REGISTER_RSP || o[i].mem.base == ZYDIS_REGISTER_ESP))
            a->address = operand_address(z, &o[i], &popped, gsbase);
    }
    /* Zydis: LEAVE reads at RBP, which it has moved to RSP before. */
    if (z->mnemonic == ZYDIS_MNEMONIC_LEAVE && e->count)
        e->access[0].address = regs->rbp;
    if (e->string_is_empty)
        e->count = 0;
}

static bool same_accesses(const struct decoded *d, const struct expected *e)
{
    unsigned used = 0, ours = 0;

    for (unsigned i = 0; i < 2; i++) {
        const struct decode_operand *a = &d->operand[i];
        if (!a->access)
            continue;
        ours++;
        for (unsigned k = 0; k < e->count; k++)
            if (!(used >> k & 1) && a->address == e->access[k].address && a->size == e->access[k].size &&
                a->access == e->access[k].kind) {
                used |= 1u << k;
                break;
            }
    }
    return ours == e->count && used == (1u << e->count) - 1;
}

static void complain(const char *what, const uint8_t *code, const ZydisDecodedInstruction *z, const struct decoded *d,
                     const struct expected *e)
{
    if (wrong++ > 40)
        return;
    printf("WRONG %s:", what);
    for (unsigned i = 0; i < 15; i++)
        printf("%s%02x", i == z->length ? " | " : " ", code[i]);
    printf("\n  %s, length %u, ours %lu, needs more %lu\n", ZydisMnemonicGetString(z->mnemonic), z->length, d->length,
           d->needs_more);
    for (unsigned i = 0; i < e->count && i < 4; i++)
        printf("  Zydis 0x%lx, %lu bytes, access %lu\n", e->access[i].address, e->access[i].size, e->access[i].kind);
    for (unsigned i = 0; i < 2; i++)
        if (d->operand[i].access)
            printf("  ours  0x%lx, %lu bytes, access %lu\n", d->operand[i].address, d->operand[i].size, d->operand[i].access);
}

/* The same instruction at the end of what can be read must not be answered for, only "more", or "not known". */
static void check_cuts(const struct checkpoint *regs, uint64_t gsbase, const uint64_t window[2], const uint8_t *code,
                       const ZydisDecodedInstruction *z, const struct expected *e)
{
    for (unsigned available = 1; available < z->length; available++) {
        struct decoded d;
        uint64_t part[2] = {window[0], window[1]};
        memset((uint8_t *)part + available, 0, 16 - available);
        decode(&d, regs, gsbase, part, available);
        cuts++;
        if (d.length || d.operand[0].access || d.operand[1].access || d.target != regs->rip)
            complain("answer from a part", code, z, &d, e);
    }
}

static void check_target(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o, const struct checkpoint *regs,
                         const struct decoded *d, const uint8_t *code, const struct expected *e)
{
    uint64_t target;

    if (d->target == regs->rip + d->length)
        return;
    if (o[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o[0].imm.is_relative)
        target = regs->rip + z->length + o[0].imm.value.u;
    else if (o[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
        target = register_value(regs, o[0].reg.value);
    else
        target = ~d->target;
    if (d->target != target)
        complain("target", code, z, d, e);
}

/* Returns the length to go on with. */
static unsigned compare(const uint8_t *code, size_t left, bool with_cuts)
{
    uint8_t bytes[16] = {0};
    uint64_t window[2], gsbase = random_value();
    ZydisDecodedInstruction z;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    struct checkpoint regs __attribute__((aligned(16)));
    struct expected e;
    struct decoded d;
    size_t available = left < 15 ? left : 15;

    memcpy(bytes, code, available);
    memcpy(window, bytes, 16);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, available, &z, o)))
        return 1;
    random_registers(&regs);
    expect(&z, o, &regs, gsbase, &e);
    decode(&d, &regs, gsbase, window, available);
    instructions++;
    operands += e.explicit_operand;
    if (d.length && d.length != z.length)
        complain("length", bytes, &z, &d, &e);
    if (d.needs_more)
        complain("needs more", bytes, &z, &d, &e);
    check_target(&z, o, &regs, &d, bytes, &e);
    if (d.length) {
        known++;
        if (e.uncertain || !same_accesses(&d, &e))
            complain("operands", bytes, &z, &d, &e);
        else
            resolved += e.explicit_operand;
    }
    if (with_cuts)
        check_cuts(&regs, gsbase, window, bytes, &z, &e);
    return z.length;
}

/* ---- sources -------------------------------------------------------------------------------------------------------- */
static unsigned every = 1;
static double minimum;

static int report(const char *name)
{
    double percent = operands ? 100.0 * (double)resolved / (double)operands : 100;

    printf("%-28s %9lu instructions, %5.1f %% known; %8lu explicit memory operands, %6.2f %% resolved; %lu wrong\n", name,
           instructions, instructions ? 100.0 * (double)known / (double)instructions : 0, operands, percent, wrong);
    int bad = wrong || (minimum > 0 && percent < minimum);
    instructions = operands = resolved = known = wrong = 0;
    return bad;
}

static int check_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st)) {
        perror(path);
        return 2;
    }
    const uint8_t *elf = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    const Elf64_Ehdr *eh = (const void *)elf;
    if (elf == MAP_FAILED || st.st_size < (long)sizeof(*eh) || memcmp(elf, ELFMAG, SELFMAG)) {
        fprintf(stderr, "%s: not an ELF file\n", path);
        return 2;
    }
    const Elf64_Shdr *sh = (const void *)(elf + eh->e_shoff);
    const char *names = (const char *)elf + sh[eh->e_shstrndx].sh_offset;
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        if (strcmp(names + sh[i].sh_name, ".text"))
            continue;
        const uint8_t *text = elf + sh[i].sh_offset;
        uint64_t n = 0;
        for (uint64_t at = 0; at < sh[i].sh_size; n++) {
            if (n % every == 0) {
                at += compare(text + at, sh[i].sh_size - at, n % (every * 16) == 0);
                continue;
            }
            ZydisDecodedInstruction z;
            at += ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, text + at, sh[i].sh_size - at, &z)) ? z.length : 1;
        }
    }
    munmap((void *)elf, (size_t)st.st_size);
    const char *base = strrchr(path, '/');
    return report(base ? base + 1 : path);
}

/* Legal more often than chance would have it: prefixes, an escape, an opcode, ModRM, and noise. */
/* An opcode map of VEX or EVEX: mostly one that is known. */
static uint64_t map(unsigned all)
{
    return next_random() % 8 ? 1 + next_random() % 3 : next_random() % all;
}

static void generate(uint8_t code[16])
{
    static const uint8_t legacy[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned n = 0, prefixes = next_random() % 8 < 5 ? 0 : (unsigned)(next_random() % 8);
    uint64_t noise[2] = {next_random(), next_random()};

    memcpy(code, noise, 16);
    while (prefixes--)
        code[n++] = legacy[next_random() % sizeof(legacy)];
    unsigned kind = next_random() % 10;
    if (kind < 5 && next_random() % 2)
        code[n++] = (uint8_t)(0x40 | next_random() % 16);
    switch (kind) {
    case 0: case 1: break;
    case 2: case 3: code[n++] = 0x0f; break;
    case 4: code[n++] = 0x0f, code[n++] = next_random() % 2 ? 0x38 : 0x3a; break;
    case 5: code[n++] = 0xc5; n++; break;
    case 6: code[n++] = 0xc4; code[n++] = (uint8_t)((next_random() & 0xe0) | map(32)); n++; break;
    case 7: case 8:
        code[n++] = 0x62;
        code[n++] = (uint8_t)((next_random() & 0xf0) | map(16));
        code[n++] = (uint8_t)(next_random() | 4);
        code[n++] = (uint8_t)(next_random() % 2 ? (next_random() & 0x60) | 8 : next_random());
        break;
    default: break;
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"seed", 1, NULL, 's'}, {"generate", 1, NULL, 'g'}, {"every", 1, NULL, 'e'},
                                          {"minimum", 1, NULL, 'm'}, {0}};
    uint64_t count = 0;
    int failed = 0;

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 's': seed = strtoull(optarg, NULL, 0) | 1; break;
        case 'g': count = strtoull(optarg, NULL, 0); break;
        case 'e': every = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'm': minimum = strtod(optarg, NULL); break;
        default: fprintf(stderr, "usage: differential [--seed N] [--generate N] [--every N] [--minimum PERCENT] [FILE ...]\n"); return 2;
        }
    }
    if (!every)
        every = 1;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    printf("seed %lu\n", seed);
    for (; optind < argc; optind++)
        failed |= check_file(argv[optind]);
    if (count) {
        minimum = 0;
        for (uint64_t i = 0; i < count; i++) {
            uint8_t code[16];
            generate(code);
            compare(code, 16, i % 8 == 0);
        }
        failed |= report("generated");
    }
    printf("cut short: %lu times, never answered\n", cuts);
    return failed;
}
