/* SPDX-License-Identifier: Apache-2.0
 *
 * Straight-line code. A condition is a mask (all ones or 0), a choice is an AND and an XOR or a CMOV, a table is read
 * whole: pick4 and pick16 load every word and keep one. tools/check-straight-line.sh looks at the object file. */
#include "enclave/notify/decode.h"

#include "enclave/notify/decode_table.h"

typedef uint64_t mask_t;

static inline mask_t bit(uint64_t x, unsigned n)
{
    return -(x >> n & 1);
}

static inline mask_t is_zero(uint64_t x)
{
    return -(uint64_t)(x < 1);
}

static inline mask_t equal(uint64_t a, uint64_t b)
{
    return is_zero(a ^ b);
}

static inline mask_t below(uint64_t a, uint64_t b)
{
    return -(uint64_t)(a < b);
}

static inline uint64_t choose(mask_t m, uint64_t yes, uint64_t no)
{
    return no ^ ((yes ^ no) & m);
}

/* table[i] */
static inline uint64_t pick4(const uint64_t *t, uint64_t i)
{
    uint64_t a, b;
    __asm__("testl $1, %k[i]\n movq (%[t]), %[a]\n cmovnzq 8(%[t]), %[a]\n movq 16(%[t]), %[b]\n cmovnzq 24(%[t]), %[b]\n"
            "testl $2, %k[i]\n cmovnzq %[b], %[a]\n"
            : [a] "=&r"(a), [b] "=&r"(b) : [t] "r"(t), [i] "r"(i), "m"(*(const uint64_t(*)[4])t) : "cc");
    return a;
}

static inline uint64_t pick16(const uint64_t *t, uint64_t i)
{
    uint64_t a, b, c, d, e, f, g, h;
    __asm__("testl $1, %k[i]\n"
            "movq (%[t]), %[a]\n cmovnzq 8(%[t]), %[a]\n movq 16(%[t]), %[b]\n cmovnzq 24(%[t]), %[b]\n"
            "movq 32(%[t]), %[c]\n cmovnzq 40(%[t]), %[c]\n movq 48(%[t]), %[d]\n cmovnzq 56(%[t]), %[d]\n"
            "movq 64(%[t]), %[e]\n cmovnzq 72(%[t]), %[e]\n movq 80(%[t]), %[f]\n cmovnzq 88(%[t]), %[f]\n"
            "movq 96(%[t]), %[g]\n cmovnzq 104(%[t]), %[g]\n movq 112(%[t]), %[h]\n cmovnzq 120(%[t]), %[h]\n"
            "testl $2, %k[i]\n cmovnzq %[b], %[a]\n cmovnzq %[d], %[c]\n cmovnzq %[f], %[e]\n cmovnzq %[h], %[g]\n"
            "testl $4, %k[i]\n cmovnzq %[c], %[a]\n cmovnzq %[g], %[e]\n"
            "testl $8, %k[i]\n cmovnzq %[e], %[a]\n"
            : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [f] "=&r"(f), [g] "=&r"(g),
              [h] "=&r"(h)
            : [t] "r"(t), [i] "r"(i), "m"(*(const uint64_t(*)[16])t) : "cc");
    return a;
}

static inline uint64_t table_byte(const uint8_t *table, uint64_t i)
{
    const uint64_t *words = (const uint64_t *)(const void *)table;
    uint64_t low = pick16(words, i >> 3), high = pick16(words + 16, i >> 3);

    return choose(bit(i, 7), high, low) >> (i & 7) * 8 & 0xff;
}

static inline uint64_t table_nibble(const uint64_t *table, uint64_t i)
{
    return pick16(table, i >> 4) >> (i & 15) * 4 & 15;
}

/* ---- prefixes ------------------------------------------------------------------------------------------------------- */
#define LANES(b) ((b) * 0x0101010101010101ull)
#define TOPS LANES(0x80)

/* The top bit of each byte of x that equals b (exact: no carry leaves a byte). */
static inline uint64_t lanes_equal(uint64_t x, uint8_t b)
{
    x ^= LANES((uint64_t)b);
    return ~(((x & ~TOPS) + ~TOPS) | x | ~TOPS);
}

struct head {
    uint64_t w0, w1;         /* the code from the opcode on */
    uint64_t opcode, map;    /* map: 0 to 3 */
    uint64_t length;         /* up to the opcode */
    uint64_t pp;             /* 0, 1: 66, 2: F3, 3: F2 */
    uint64_t rex;            /* W R X B as in REX */
    uint64_t vector;         /* bytes */
    mask_t w, lock, rep, addr32, fs, gs, vex, evex, opsize;
    mask_t bad;              /* not known */
};

static inline uint64_t shift_bytes(uint64_t *w1, uint64_t w0, uint64_t count) /* count below 8 */
{
    uint64_t bits = count * 8, high = *w1;

    *w1 = high >> bits;
    return w0 >> bits | high << 1 << (63 - bits);
}

/* Legacy prefixes among the first bytes, in any order, and REX behind them: one that is not last makes what follows an
 * unknown opcode. */
static inline void read_prefixes(struct head *h, uint64_t w0, uint64_t w1)
{
    uint64_t osize = lanes_equal(w0, 0x66), asize = lanes_equal(w0, 0x67), lock = lanes_equal(w0, 0xf0);
    uint64_t f2 = lanes_equal(w0, 0xf2), f3 = lanes_equal(w0, 0xf3), fs = lanes_equal(w0, 0x64);
    uint64_t gs = lanes_equal(w0, 0x65), flat = lanes_equal(w0 & LANES(0xe7), 0x26);
    uint64_t other = ~(osize | asize | lock | f2 | f3 | fs | gs | flat) & TOPS;
    uint64_t run = (other & -other) - 1; /* all bits below the first byte that is no prefix */
    uint64_t count = (uint64_t)__builtin_ctzll(other | 1ull << 63) >> 3;

    h->opsize = ~is_zero(osize & run);
    h->addr32 = ~is_zero(asize & run);
    h->lock = ~is_zero(lock & run);
    h->fs = ~is_zero(fs & run);
    h->gs = ~is_zero(gs & run);
    mask_t has_f2 = ~is_zero(f2 & run), has_f3 = ~is_zero(f3 & run), has_flat = ~is_zero(flat & run);
    h->rep = has_f2 | has_f3;
    h->pp = (has_f3 & 2) | (has_f2 & 3) | (h->opsize & ~h->rep & 1);
    h->bad = (has_f2 & has_f3) | (h->fs & h->gs) | (has_flat & (h->fs | h->gs)) | ~below(count, 5);
    count &= 7;
    w0 = shift_bytes(&w1, w0, count);
    uint64_t has_rex = equal(w0 & 0xf0, 0x40) & 1;
    h->rex = w0 & 15 & -has_rex;
    h->length = count + has_rex;
    h->w0 = shift_bytes(&w1, w0, has_rex);
    h->w1 = w1;
}

/* Escape bytes, VEX, EVEX. Leaves the opcode in the lowest byte. */
static inline void read_map(struct head *h)
{
    uint64_t b0 = h->w0 & 0xff, b1 = h->w0 >> 8 & 0xff, b2 = h->w0 >> 16 & 0xff, b3 = h->w0 >> 24 & 0xff;
    mask_t two = equal(b0, 0x0f), is38 = two & equal(b1, 0x38), is3a = two & equal(b1, 0x3a);
    mask_t vex2 = equal(b0, 0xc5), vex3 = equal(b0, 0xc4), evex = equal(b0, 0x62), vex = vex2 | vex3;
    uint64_t escape = (two & 1) + ((is38 | is3a) & 1) + (vex2 & 2) + (vex3 & 3) + (evex & 4);
    uint64_t last = choose(vex2, b1, b2); /* W vvvv L pp, of EVEX too but for L */
    uint64_t rex = (~b1 >> 5 & 7 & ~vex2) | (vex2 & ~b1 >> 5 & 4) | (b2 >> 4 & 8 & ~vex2);
    mask_t any = vex | evex;

    h->bad |= any & (h->opsize | h->rep | h->lock | ~is_zero(h->rex));
    h->bad |= evex & (~is_zero(b1 & 8) | is_zero(b2 & 4) | ~is_zero(b3 & 0x17) | equal(b3 & 0x60, 0x60));
    uint64_t code = last & 3; /* 0, 66, F3, F2 as in pp */
    h->pp = choose(any, code, h->pp);
    h->rex = choose(any, rex, h->rex);
    uint64_t map = choose(vex2, 1, b1 & choose(evex, 7, 31));
    h->bad |= any & (is_zero(map) | ~below(map, 4));
    h->map = choose(any, map & 3, (two & 1) + (is38 & 1) + (is3a & 2));
    h->vector = 16ull << choose(evex, b3 >> 5 & 3, last >> 2 & 1 & vex);
    h->vex = vex;
    h->evex = evex;
    h->w = bit(h->rex, 3);
    h->length += escape;
    h->w0 = shift_bytes(&h->w1, h->w0, escape);
    h->opcode = h->w0 & 0xff;
}

/* ---- what the opcode says ------------------------------------------------------------------------------------------- */
struct facts {
    mask_t modrm, reads, writes, bad;
    uint64_t size;           /* of the ModRM memory operand in bytes; 0 with neither reads nor writes */
    uint64_t immediate;      /* bytes */
    mask_t branch, push, pop, string, jump_reg, bit_string, pop_mem, far_data;
    uint64_t operand_size;
};

static inline void facts_of_one(const struct head *h, uint64_t reg, mask_t memory, struct facts *f)
{
    uint64_t o = h->opcode, t = table_byte(one_byte, o);
    mask_t byte = bit(t, 3), nested = equal(o & 0xf6, 0xf6); /* F6 F7 FE FF */
    mask_t f67 = nested & ~bit(o, 3), fef = nested & bit(o, 3), ff = fef & bit(o, 0);
    mask_t x87_op = equal(o & 0xf8, 0xd8), alu = equal(o & 0xfc, 0x80), mov_imm = equal(o & 0xfe, 0xc6);
    mask_t is_8f = equal(o, 0x8f), small = equal(o & 0xfd, 0x8c), movsxd = equal(o, 0x63);
    mask_t test = f67 & below(reg, 2), stack_ff = ff & below(reg - 2, 5) & ~bit(reg, 0); /* /2 /4 /6 */
    mask_t imm_b8 = equal(o & 0xf8, 0xb8) & h->w;
    uint64_t z = choose(h->opsize & ~h->w, 2, 4);

    f->modrm = bit(t, 0);
    f->reads = bit(t, 1);
    f->writes = bit(t, 2) & ~(alu & equal(reg, 7)) & ~(f67 & ~equal(reg & 6, 2)) & ~stack_ff;
    f->bad = ~bit(t, 6) | (mov_imm & ~is_zero(reg)) | (is_8f & ~is_zero(reg)) |
             (fef & ~below(reg, 2) & ~stack_ff);
    f->size = choose(byte, 1, f->operand_size);
    f->size = choose(small, 2, f->size);
    f->size = choose(movsxd, 4, f->size);
    f->size = choose(is_8f | stack_ff, 8, f->size);
    f->immediate = (bit(t, 4) & 1) + (bit(t, 5) & z) + (imm_b8 & 4) + (test & choose(byte, 1, z)) + (equal(o, 0xc2) & 2);
    f->branch = bit(t, 7);

    uint64_t code = pick4(x87, o >> 1) >> ((o & 1) * 32 + reg * 4) & 15;
    f->bad |= x87_op & memory & is_zero(code);
    f->reads |= x87_op & ~bit(code, 3);
    f->writes |= x87_op & bit(code, 3);
    f->size = choose(x87_op, choose(equal(code & 7, 4), 10, 1ull << (code & 7)), f->size);

    mask_t call = equal(o, 0xe8), plain_push = equal(o & 0xf8, 0x50) | equal(o & 0xfd, 0x68) | equal(o, 0x9c) | call;
    mask_t plain_pop = equal(o & 0xf8, 0x58) | equal(o, 0x9d) | equal(o & 0xfe, 0xc2);
    f->push = plain_push | (stack_ff & ~equal(reg, 4));
    f->pop = plain_pop | is_8f;
    f->pop_mem = is_8f;
    f->far_data = equal(o, 0xc9);
    f->string = equal(o & 0xfc, 0xa4) | (equal(o & 0xf8, 0xa8) & ~below(o, 0xaa));
    f->jump_reg = stack_ff & ~equal(reg, 6) & ~memory;
    /* With 66 the stack moves by two bytes, and branches differ between vendors. */
    f->bad |= movsxd & h->opsize & ~h->w; /* two or four bytes, says who? */
    f->bad |= h->opsize & (f->push | f->pop | f->far_data | f->branch | f->jump_reg | (stack_ff & ~equal(reg, 6)));
}

static inline void facts_of_more(const struct head *h, uint64_t reg, mask_t memory, struct facts *f)
{
    uint64_t o = h->opcode, t = table_byte(two_byte, o);
    uint64_t row = (h->vex & 4) + (h->evex & 8) + (t >> 2 & 3);
    uint64_t code = pick16(sizes, row) >> ((t & 3) * 16 + h->pp * 4) & 15;
    uint64_t code38 = table_nibble(map_38, o), code3a = table_nibble(map_3a, o);
    mask_t two = equal(h->map, 1), is38 = equal(h->map, 2), is3a = equal(h->map, 3), legacy = ~(h->vex | h->evex);
    mask_t ae = two & equal(o, 0xae), c7 = two & equal(o, 0xc7), ba = two & equal(o, 0xba), jcc = two & equal(o & 0xf0, 0x80);
    mask_t movq = two & equal(o, 0x7e) & equal(h->pp, 2);
    mask_t reads = bit(t, 4), writes = bit(t, 5);

    reads = (two & ((reads & ~ae) | movq)) | is38;
    writes = two & writes & ~movq & ~(ba & equal(reg, 4));
    mask_t store = is3a & below(o, 64) & bit(map_3a_writes >> (o & 63), 0);
    writes |= store;
    reads |= is3a & ~store;

    /* Prefixes that the higher maps take: see decode_table.h. */
    mask_t no_prefix = is_zero(h->pp), p66 = equal(h->pp, 1), f_row = is38 & ~below(o, 0xf0);
    mask_t fine = choose(f_row, choose(h->vex, ~0ull, equal(o, 0xf6) & (p66 | equal(h->pp, 2)) & legacy),
                         choose(legacy, no_prefix | p66, p66));
    fine |= is3a & equal(o, 0xf0) & h->vex;
    fine |= is38 & h->evex & equal(o & 0xfe, 0x26) & equal(h->pp, 2);
    fine |= is38 & h->vex & equal(o & 0xfc, 0x50);
    fine &= ~(is38 & h->evex & equal(o & 0xf8, 0xc8) & below(o, 0xce));
    code = choose(two, code, choose(is38, code38, code3a) & fine);
    mask_t mmx = ~two & legacy & no_prefix & equal(code, S_VEC);
    code = choose(mmx, S_8, code);

    mask_t control = ae & memory & no_prefix & equal(reg & 6, 2), wide = c7 & memory & equal(reg, 1) & no_prefix & legacy;
    mask_t odd = (~legacy & two & bit(t, 7) & equal(code, S_NONE) & ~control) | (ae & memory & ~control) | (c7 & memory & ~wide) | (ba & below(reg, 4));
    reads |= (control & equal(reg, 2)) | wide;
    writes |= (control & equal(reg, 3)) | wide;

    f->modrm = ~two | bit(t, 7);
    f->reads = reads;
    f->writes = writes;
    f->bad = is_zero(code) | odd | (jcc & (h->opsize | ~legacy));
    uint64_t vector = h->vector, size = 1ull << ((code - 1) & 7);
    size = choose(~below(code, S_VEC), vector >> ((code - S_VEC) & 3), size);
    size = choose(equal(code, S_V), f->operand_size, size);
    size = choose(equal(code, S_Y), choose(h->w, 8, 4), size);
    size = choose(control, 4, size);
    size = choose(wide, choose(h->w, 16, 8), size);
    f->size = size;
    f->immediate = (((two & bit(t, 6)) | is3a) & 1) + (jcc & 4);
    f->branch = jcc;
    f->push = f->pop = f->pop_mem = f->far_data = f->string = f->jump_reg = 0;
    f->bit_string = two & (equal(o & 0xe7, 0xa3)); /* A3 AB B3 BB */
}

static inline uint64_t sign_extend(uint64_t value, uint64_t bytes) /* 0 to 8 of them */
{
    uint64_t shift = 64 - bytes * 8;
    mask_t some = ~is_zero(bytes);

    return (uint64_t)((int64_t)(value << (shift & 63)) >> (shift & 63)) & some;
}

#define MERGE(field) f.field = choose(one, f1.field, f2.field)

void decode(struct decoded *out, const struct checkpoint *regs, uint64_t gsbase, const uint64_t window[2],
            uint64_t available)
{
    const uint64_t *gpr = &regs->rax;
    struct head h;
    struct facts f, f1, f2;

    /* Bytes that are not there read as zero. */
    uint64_t cut = (available * 8) & 63, part = (1ull << cut) - 1;
    mask_t high = bit(available, 3), all = bit(available, 4);
    uint64_t w0 = window[0] & (part | high | all), w1 = window[1] & ((part & high) | all);

    read_prefixes(&h, w0, w1);
    read_map(&h);
    uint64_t modrm = h.w0 >> 8 & 0xff, mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;
    mask_t memory = ~equal(mod, 3), one = is_zero(h.map) & ~(h.vex | h.evex);
    f1.operand_size = f2.operand_size = choose(h.w, 8, choose(h.opsize, 2, 4));
    f1.bit_string = 0;
    facts_of_one(&h, reg, memory, &f1);
    facts_of_more(&h, reg, memory, &f2);
    MERGE(modrm), MERGE(reads), MERGE(writes), MERGE(bad), MERGE(size), MERGE(immediate), MERGE(branch);
    f1.push &= one, f1.pop &= one, f1.pop_mem &= one, f1.far_data &= one, f1.string &= one, f1.jump_reg &= one;
    f2.bit_string &= ~one;
    memory &= f.modrm;

    /* Length: opcode, ModRM, SIB, displacement, immediate. */
    mask_t sib = memory & equal(rm, 4), sib_byte = h.w0 >> 16 & 0xff;
    uint64_t base = choose(sib, sib_byte & 7, rm), index = (sib_byte >> 3 & 7) | (h.rex << 2 & 8);
    mask_t absolute = memory & is_zero(mod) & equal(base, 5), rip_relative = absolute & ~sib;
    uint64_t displacement_bytes = ((memory & equal(mod, 1)) & 1) + (((memory & equal(mod, 2)) | absolute) & 4);
    uint64_t before = 1 + (f.modrm & 1) + (sib & 1), immediate_at = before + displacement_bytes;
    uint64_t length = h.length + immediate_at + f.immediate;
    uint64_t high_part = h.w1, tail = shift_bytes(&high_part, h.w0, before);
    uint64_t displacement = sign_extend(tail, displacement_bytes);
    uint64_t tail2 = shift_bytes(&high_part, tail, displacement_bytes);
    uint64_t immediate = sign_extend(tail2, f.immediate & 7);
    displacement *= choose(h.evex & equal(mod, 1), f.size, 1);

    out->needs_more = below(available, length) & 1;
    /* With 67, whether a bit string's index wraps with the address is said nowhere. */
    mask_t bad = h.bad | f.bad | (f2.bit_string & memory & h.addr32) | ~below(length, 16) | below(available, length);
    out->length = length & ~bad;

    /* The ModRM operand's address. */
    uint64_t full = base | (h.rex << 3 & 8);
    mask_t no_index = ~sib | equal(index, 4);
    uint64_t base_value = choose(rip_relative, regs->rip + length, pick16(gpr, full) & ~absolute);
    base_value += f1.pop_mem & equal(full, 4) & 8;
    uint64_t index_value = (pick16(gpr, index) & ~no_index) << (sib_byte >> 6);
    uint64_t address = base_value + index_value + displacement;
    uint64_t bits = pick16(gpr, reg | (h.rex << 1 & 8)), offset = sign_extend(bits, f2.operand_size);
    uint64_t log = choose(h.w, 6, choose(h.opsize, 4, 5));
    address += f2.bit_string & ((uint64_t)((int64_t)offset >> log) << (log - 3));
    uint64_t truncate = choose(h.addr32, 0xffffffff, ~0ull);
    uint64_t segment = (h.fs & regs->fsbase) + (h.gs & gsbase);
    address = (address & truncate) + segment;

    mask_t touches = memory & (f.reads | f.writes);
    /* A NONE of the 0F map has neither. */
    uint64_t access = ((f.reads & DECODE_READ) | (f.writes & DECODE_WRITE)) & touches;
    mask_t xchg = one & equal(h.opcode & 0xfe, 0x86) & memory;
    out->locked = (xchg | (h.lock & touches & f.reads & f.writes)) & ~bad & 1;

    /* Strings: A4 movs, A6 cmps, AA stos, AC lods, AE scas. */
    uint64_t o = h.opcode, element = choose(bit(o, 0), f1.operand_size, 1);
    mask_t low = bit(o, 3), kind = o >> 1 & 3; /* A4: 2, A6: 3, AA: 1, AC: 2, AE: 3 */
    mask_t source = f1.string & (~low | equal(kind, 2)), target = f1.string & ~(low & equal(kind, 2));
    mask_t stored = target & (equal(kind, 1) | (~low & equal(kind, 2)));
    mask_t none = f1.string & h.rep & is_zero(regs->rcx & truncate);
    address = choose(source, (regs->rsi & truncate) + segment, address);
    access = choose(source, DECODE_READ, access);
    uint64_t size = choose(source, element, f.size);

    /* The stack. */
    uint64_t address1 = choose(f1.push, regs->rsp - 8, choose(f1.far_data, regs->rbp, regs->rsp));
    uint64_t access1 = (f1.push & DECODE_WRITE) | ((f1.pop | f1.far_data) & DECODE_READ);
    address1 = choose(target, regs->rdi & truncate, address1);
    access1 = choose(target, choose(stored, DECODE_WRITE, DECODE_READ), access1);
    uint64_t size1 = choose(target, element, 8);

    mask_t keep = ~(bad | none);
    out->operands_known = ~bad & 1;
    out->operand[0] = (struct decode_operand){address, size, access & keep};
    out->operand[1] = (struct decode_operand){address1, size1, access1 & keep};
    out->target_known = (f.branch | f1.jump_reg) & ~bad & 1;
    out->target = choose(f1.jump_reg, pick16(gpr, full), regs->rip + length + immediate);
}
