/* SPDX-License-Identifier: Apache-2.0
 *
 * void decode(struct decoded *out, const struct checkpoint *regs, uint64_t gsbase, const uint64_t window[2],
 *             uint64_t available)
 *
 * The decoder of decode.h. Straight-line: no branch, no load address that depends on the code or on a register. A choice is
 * a TEST and a CMOV; "-1 or 0" is made of a carry by SBB; a table is read whole: of sixteen rows of sixteen bytes PBLENDVB
 * keeps one, bit of the index by bit of the index. In assembly, because a compiler needs twice the instructions for
 * it, each of which delays the application at every interruption.
 *
 *   classify   prefixes, REX; skipped
 *   map        escape bytes, VEX, EVEX; skipped
 *   facts      what the tables say of the opcode
 *   lengths    ModRM, SIB, displacement, immediate
 *   address    of the ModRM operand
 *   accesses   the two operands; everything is dropped if anything was bad
 *
 * Runtime mode, CSSA=0. The vector registers are the application's: XMM0-XMM12 are saved and given back; legacy SSE
 * instructions leave the upper parts and MXCSR alone. AEX at any instruction: invisible, ERESUME continues.
 * SSE4.1: every processor with AEX-Notify has it. */
#include "enclave/notify/decode_pick.h"
#include "enclave/notify/decode_table.h"

#define SAVED 13
#define PREFIXES   (SAVED * 16 + 0)(%rsp)
#define REX        (SAVED * 16 + 8)(%rsp)
#define FORM       (SAVED * 16 + 16)(%rsp)  /* 0: legacy, 4: VEX, 2: EVEX */
#define MEMORY     (SAVED * 16 + 24)(%rsp)  /* -1: ModRM names memory */
#define HAS_MODRM  (SAVED * 16 + 32)(%rsp)
#define AVAILABLE  (SAVED * 16 + 40)(%rsp)
#define GSBASE     (SAVED * 16 + 48)(%rsp)
#define OUT        (SAVED * 16 + 56)(%rsp)
#define REGS       (SAVED * 16 + 64)(%rsp)
#define SCRATCH    (SAVED * 16 + 72)(%rsp)
#define FRAME      (SAVED * 16 + 80)
#define REG(n)     ((n) * 8)(%rsi)
#define RIP        136(%rsi)
#define FSBASE     144(%rsi)

/* RCX bits of the code are done with. */
.macro SKIP
    shrdq %cl, %r10, %r9
    shrq %cl, %r10
.endm

.section .text.decode, "ax"
.globl decode
.type decode, @function
decode:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $FRAME, %rsp
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    movups %xmm\n, \n * 16(%rsp)
    .endr
    movq %rdi, OUT
    movq %rsi, REGS
    movq %rdx, GSBASE
    movq %r8, AVAILABLE
    movq (%rcx), %r9
    movq 8(%rcx), %r10

/* ---- classify ------------------------------------------------------------------------------------------------------------
 * R10:R9 = the code. Makes R11 = PREFIX_ bits, R12 = mandatory prefix (0, 1: 66, 2: F3, 3: F2), R13 = bytes skipped, R14 =
 * "bad" (any bit set: not known), RBX = REX, RDX = LEAD_ bits of the following bytes.
 * All eight bytes at a time: the two halves of each are looked up. */
    movdqa decode_halves + 64(%rip), %xmm0
    movq %r9, %xmm1
    movdqa %xmm1, %xmm2
    psrlw $4, %xmm2
    pand %xmm0, %xmm1
    pand %xmm0, %xmm2
    movdqa decode_halves + 0(%rip), %xmm3
    movdqa decode_halves + 16(%rip), %xmm4
    pshufb %xmm1, %xmm3
    pshufb %xmm2, %xmm4
    pand %xmm4, %xmm3
    movdqa decode_halves + 32(%rip), %xmm5
    movdqa decode_halves + 48(%rip), %xmm4
    pshufb %xmm1, %xmm5
    pshufb %xmm2, %xmm4
    pand %xmm4, %xmm5
    movq %xmm3, %rax
    movq %xmm5, %rdx
    /* The first byte that is no prefix; bytes 8 to 15 are none here. More than four prefixes are not known. */
    pxor %xmm0, %xmm0
    pcmpeqb %xmm3, %xmm0
    pmovmskb %xmm0, %ecx
    bsfl %ecx, %ecx
    leal 3(%rcx), %r14d
    andl $8, %r14d
    movl %ecx, %r13d
    shll $3, %ecx
    movq $-1, %r11
    shlq %cl, %r11
    notq %r11
    andq %rax, %r11
    SKIP
    shrq %cl, %rdx
    /* The bits of all of them, also of those that are too many: the length must be right for "needs more". */
    movq %r11, %rax
    shrq $32, %rax
    orl %eax, %r11d
    movl %r11d, %eax
    shrl $16, %eax
    orl %eax, %r11d
    movl %r11d, %eax
    shrl $8, %eax
    orl %eax, %r11d
    movzbl %r11b, %r11d
    movl %r11d, PREFIXES
    /* F3 and F2 win over 66; both are not known. */
    movl %r11d, %ecx
    andl $7, %ecx
    shll $2, %ecx
    movl $0x82318230, %r12d
    shrl %cl, %r12d
    movl %r12d, %eax
    andl $8, %eax
    orl %eax, %r14d
    andl $3, %r12d
    /* More than one of FS, GS and a segment that means nothing: the last one would count. */
    movl %r11d, %ecx
    shrl $5, %ecx
    leal -1(%rcx), %eax
    andl %ecx, %eax
    orl %eax, %r14d
    /* REX, its 40 included, which tells one without bits from none. Elsewhere than behind the prefixes it makes what follows it an
     * unknown opcode. */
    btl $3, %edx
    sbbl %ebx, %ebx
    andl $0x4f, %ebx
    andl %r9d, %ebx
    movl %edx, %ecx
    andl $LEAD_REX, %ecx
    SKIP
    shrq %cl, %rdx
    shrl $3, %ecx
    addl %ecx, %r13d

/* ---- map -----------------------------------------------------------------------------------------------------------------
 * Makes RBP = map * 256 + opcode (map 0 to 3), R12 += 16 for VEX, 8 for EVEX with W, 12 without, R15 = log2 of the vector's bytes; RBX, R12 are
 * those of VEX and EVEX, if it is one. RAX = opcode. */
    movl %edx, %eax
    andl $LEAD_0F, %eax
    leal (%rax,%rax,2), %ecx
    addl %ecx, %ecx                 /* LEAD_38 | LEAD_3A behind 0F, else 0 */
    movl %edx, %ebp
    shrl $8, %ebp
    andl %ecx, %ebp
    shrl $5, %ebp
    shrl $4, %eax
    addl %eax, %ebp
    andl $LEAD_VEX, %edx
    /* How long that was: 0F 1, 0F38 and 0F3A 2, 62 4, C5 2, C4 3. */
    leal (%rbp,%rdx,2), %ecx
    shll $2, %ecx
    movabsq $0x30200042210, %rax
    shrq %cl, %rax
    andl $15, %eax
    addl %eax, %r13d
    leal (,%rax,8), %ecx
    movq %r9, %rax
    SKIP
    /* The bytes behind the first: RXB.map W.vvvv.L.pp, of C5 as C4 would have them, and EVEX's third. */
    shrq $8, %rax
    movzbl %al, %ecx
    imull $0x101, %ecx, %ecx
    andl $0x7f80, %ecx
    orl $0x61, %ecx
    cmpl $LEAD_C5, %edx
    cmovel %ecx, %eax
    movl %edx, %ecx
    andl $LEAD_62, %ecx             /* 2: EVEX */
    /* Bad of EVEX: fixed bits, zeroing, masks, broadcast, length 3 (which the addition carries into zeroing's bit). */
    leal 0x200000(%rax), %r8d
    xorl $0x400, %r8d
    andl $0x970400, %r8d
    movl %ecx, %edi
    negl %edi
    andl %edi, %r8d
    /* Of both: 66, F2, F3, LOCK and REX in front; maps but 1 to 3. */
    movl %r11d, %edi
    andl $PREFIX_66 | PREFIX_F2 | PREFIX_F3 | PREFIX_F0, %edi
    orl %ebx, %edi
    orl %edi, %r8d
    leal (,%rcx,8), %edi
    xorl $31, %edi
    andl %eax, %edi
    movl $~14, %r15d
    btl %edi, %r15d
    sbbl %r15d, %r15d
    orl %r15d, %r8d
    movl %eax, %r15d
    shrl $8, %r15d
    andl $3, %r15d
    testl %edx, %edx
    cmovnzl %r15d, %r12d
    cmovnzl %edi, %ebp
    movl $0, %r15d
    cmovzl %r15d, %r8d
    orl %r8d, %r14d
    /* W, not R, X, B are bits 15, 7, 6, 5; a copy of each 7 bits higher. Above bit 3 nothing counts. */
    movl %eax, %r8d
    andl $0x80e0, %r8d
    xorl $0xe0, %r8d
    imull $0x81, %r8d, %r8d
    shrl $12, %r8d
    movl %eax, %edi
    shrl $10, %edi
    andl $1, %edi
    shrl $21, %eax
    andl $3, %eax
    testl %ecx, %ecx
    cmovnzl %eax, %edi
    testl %edx, %edx
    cmovnzl %r8d, %ebx
    cmovzl %r15d, %edi
    leal 4(%rdi), %r15d
    andl $6, %edx
    movl %edx, FORM
    andl $8, %r8d
    cmpl %ecx, %r8d                 /* EVEX without W */
    adcl $0, %edx
    leal (%r12,%rdx,4), %r12d
    movl %ebx, REX
    movzbl %r9b, %eax
    shll $8, %ebp
    orl %eax, %ebp

/* ---- facts ---------------------------------------------------------------------------------------------------------------
 * RAX = decode_facts[map & 1][opcode], RDX = the code of decode_sizes_38_3a[map & 1][opcode]. */
    SPREAD %eax, %xmm12, %xmm0
    movl %ebp, %ecx
    shrl $1, %ecx
    movd %ecx, %xmm11
    pshufb %xmm0, %xmm11            /* the map, a mask */
    PICK_ROW decode_facts, 32
    movdqa %xmm1, %xmm9
    PICK_ROW decode_facts + 16, 32
    paddb %xmm0, %xmm0
    pblendvb %xmm0, %xmm1, %xmm9
    PICK_ROW decode_facts + 512, 32
    movdqa %xmm1, %xmm10
    PICK_ROW decode_facts + 512 + 16, 32
    paddb %xmm0, %xmm0
    pblendvb %xmm0, %xmm1, %xmm10
    movdqa %xmm11, %xmm0
    pblendvb %xmm0, %xmm10, %xmm9
    andl $7, %eax
    imull $0x202, %eax, %eax
    addl $0x100, %eax
    movd %eax, %xmm1
    pshufb %xmm1, %xmm9
    movd %xmm9, %eax                /* its upper half means nothing */
    .set row, 0
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8
    movdqa decode_sizes_38_3a + row(%rip), %xmm\n
    pblendvb %xmm0, decode_sizes_38_3a + 128 + row(%rip), %xmm\n
    .set row, row + 16
    .endr
    movdqa %xmm12, %xmm0
    pblendvb %xmm0, %xmm5, %xmm1
    pblendvb %xmm0, %xmm6, %xmm2
    pblendvb %xmm0, %xmm7, %xmm3
    pblendvb %xmm0, %xmm8, %xmm4
    PICK_OF_4
    movl %ebp, %ecx
    shrl $1, %ecx
    andl $15, %ecx
    movd %ecx, %xmm2
    pshufb %xmm2, %xmm1
    movd %xmm1, %edx
    movl %edx, %ecx
    shrl $4, %ecx
    testl $1, %ebp
    cmovnzl %ecx, %edx
    andl $15, %edx

/* 0F38 and 0F3A have ModRM and read, 0F3A an immediate byte and some that write. */
    leal -0x300(%rbp), %ecx
    movabsq $WRITES_3A, %r8
    btq %rcx, %r8
    sbbl %edi, %edi
    cmpl $64, %ecx
    sbbl %r8d, %r8d
    andl %r8d, %edi
    movl $K_READ | FACT_MODRM | IMM_NONE << FACT_IMM, %r8d
    movl $K_READ | FACT_MODRM | IMM_1 << FACT_IMM, %ecx
    testl $0x100, %ebp
    cmovnzl %ecx, %r8d
    subl %edi, %r8d                 /* K_WRITE is K_READ + 1 */
    testl $0x200, %ebp
    cmovnzl %r8d, %eax

/* R8 = K_ number, RDI = decode_kinds of it, shifted: bit 0 of each byte. */
    movl %eax, %r8d
    andl $31, %r8d
    cmpl $1, %r8d
    sbbl %ecx, %ecx
    orl %ecx, %r14d                 /* K_UNKNOWN */
    movl %r9d, %ecx
    shrl $11, %ecx
    andl $7, %ecx
    movl %ebp, %edi
    shrl $1, %edi
    andl $7, %edi
    movl %r12d, %esi
    andl $7, %esi
    cmpl $K_STRING, %r8d
    cmovel %edi, %ecx
    cmpl $K_0F7E, %r8d
    cmovael %esi, %ecx
    leal (,%r8,8), %edi
    SPREAD %edi, %xmm12, %xmm0
    PICK_ROW decode_kinds, 16
    PICK_HALF %rdi
    shrq %cl, %rdi

/* RCX = the code of the size, by class and column: the mandatory prefix; in the one-byte map 66 is column 3. */
    shll $2, %esi
    andl $12, %esi
    movl %r11d, %ebx
    andl $PREFIX_66, %ebx
    leal (%rbx,%rbx,2), %ebx
    testl $0x300, %ebp
    cmovzl %ebx, %esi
    movl %eax, %ecx
    shrl $FACT_CLASS, %ecx
    andl $15, %ecx
    btq $KIND_NEXT, %rdi
    adcl $0, %ecx
    testl $4, %ecx
    movq decode_sizes(%rip), %rbx
    cmovnzq decode_sizes + 8(%rip), %rbx
    movq decode_sizes + 16(%rip), %r11
    cmovnzq decode_sizes + 24(%rip), %r11
    testl $8, %ecx
    cmovnzq %r11, %rbx
    andl $3, %ecx
    shll $4, %ecx
    addl %esi, %ecx
    shrq %cl, %rbx
    andl $15, %ebx
    testl $0x200, %ebp
    cmovnzl %edx, %ebx
/* RDX = -1: no such prefix or form, or no known size. */
    movl $FORMS(2, 2, 2), %esi
    movl $FORMS(1, 0, 0), %ecx
    cmpl $S_SHA, %edx
    cmovel %ecx, %esi
    movl %ebp, %r11d
    andl $~1, %r11d
    movl $FORMS(2, 2, 6), %ecx      /* vptestm, vptestnm */
    cmpl $0x226, %r11d
    cmovel %ecx, %esi
    movl $FORMS(0, 15, 0), %ecx     /* bit manipulation */
    cmpb $0xf0, %bpl
    cmovael %ecx, %esi
    movl $FORMS(6, 15, 0), %ecx     /* adcx, adox, mulx */
    cmpl $0x2f6, %ebp
    cmovel %ecx, %esi
    movl $FORMS(15, 15, 15), %ecx
    movl $FORMS(15, 0, 0), %r11d
    testl $14 << FACT_CLASS, %eax   /* CLASS_V, CLASS_1 */
    cmovzl %r11d, %ecx
    testl $0x200, %ebp
    cmovzl %ecx, %esi
    btl %r12d, %esi
    cmc
    sbbl %edx, %edx
    leal 1(%rbx), %ecx
    andl $16, %ecx
    orl %ecx, %edx
/* R15 = the size. Operands of CALL, JMP and PUSH have 8 bytes. */
    movq %rdi, %rcx
    shrq $32, %rcx
    testl $1 | 1 << (KIND_JUMP - 32), %ecx
    movl $S_8, %ecx
    cmovnzl %ecx, %ebx
    imull $SIZES_VECTOR, %r15d, %r15d
    testb $PREFIX_66, PREFIXES
    movq sizes_plain(%rip), %r11
    cmovnzq sizes_66(%rip), %r11
    testb $8, REX
    cmovnzq sizes_w(%rip), %r11
    addq %r15, %r11
    leal (,%rbx,4), %ecx
    shrq %cl, %r11
    movl %r11d, %ecx
    andl $7, %ecx
    movl $1, %r15d
    shll %cl, %r15d
    cmpl $S_10, %ebx
    movl $10, %ecx
    cmovel %ecx, %r15d

/* ---- lengths -----------------------------------------------------------------------------------------------------------------
 * RAX = fact, RDX = see above. Makes RBP = ModRM and what follows, R11 = base (0 to 7), R12 = -1: no base, RDX = -1: SIB,
 * RBX = displacement, R9 = immediate, R13 = length, R10 = RIP + length, RSI = REGS. */
    movl %r9d, %ebp
    shrl $8, %ebp
    movl %ebp, %esi
    andl $0xc0, %esi
    cmpl $0xc0, %esi
    sbbl %esi, %esi
    btl $12, %eax
    sbbl %ebx, %ebx
    andl %ebx, %esi
    movl %ebx, HAS_MODRM
    movl %esi, MEMORY
    btl $KIND_VALID, %edi
    cmc
    sbbl %ecx, %ecx
    orl %edx, %ecx
    andl %esi, %ecx
    orl %ecx, %r14d
    movl %ebp, %r11d
    andl $7, %r11d
    leal -4(%r11), %edx
    cmpl $1, %edx
    sbbl %edx, %edx
    andl %esi, %edx
    movl %ebp, %ecx
    shrl $8, %ecx
    andl $7, %ecx
    testl %edx, %edx
    cmovnzl %ecx, %r11d
    /* mod 0 and base 5: no base, or RIP without SIB */
    movl %ebp, %r12d
    andl $0xc0, %r12d
    movl %r11d, %ecx
    xorl $5, %ecx
    orl %ecx, %r12d
    cmpl $1, %r12d
    sbbl %r12d, %r12d
    andl %esi, %r12d
    /* opcode, ModRM, SIB */
    movl $1, %ecx
    subl %ebx, %ecx
    subl %edx, %ecx
    addl %ecx, %r13d
    shll $3, %ecx
    SKIP
    /* RAX = bytes of the immediate */
    movl %eax, %ecx
    shrl $FACT_IMM, %ecx
    andl $7, %ecx
    btl $KIND_EXTRA, %edi
    adcl $0, %ecx
    shll $2, %ecx
    movl $IMMEDIATES(4, 4), %eax
    testb $PREFIX_66, PREFIXES
    cmovnzl immediates_66(%rip), %eax
    testb $8, REX
    cmovnzl immediates_w(%rip), %eax
    shrl %cl, %eax
    andl $15, %eax
    addl %eax, %r13d
    /* RCX = bytes of the displacement: mod 1: 1, mod 2: 4, no base: 4 */
    movl %r12d, %ebx
    andl $4, %ebx
    movl %ebp, %ecx
    shrl $6, %ecx
    andl $3, %ecx
    imull %ecx, %ecx
    andl %esi, %ecx
    orl %ebx, %ecx
    addl %ecx, %r13d
    /* EVEX: one byte counts operands */
    movslq %r9d, %rbx
    movsbq %r9b, %rsi
    movq %rsi, SCRATCH
    imulq %r15, %rsi
    testb $2, FORM
    cmovzq SCRATCH, %rsi
    cmpl $1, %ecx
    cmoveq %rsi, %rbx
    testl %ecx, %ecx
    cmovzq %rcx, %rbx
    shll $3, %ecx
    SKIP
    movsbq %r9b, %rcx
    movslq %r9d, %r9
    cmpl $1, %eax
    cmoveq %rcx, %r9
    movq REGS, %rsi
    movq RIP, %r10
    addq %r13, %r10
    /* Of 15 bytes, and of those that are there. */
    cmpl %r13d, AVAILABLE
    sbbl %ecx, %ecx
    orl %ecx, %r14d
    negl %ecx
    movq OUT, %rax
    movq %rcx, DECODED_NEEDS_MORE(%rax)
    /* RAX: bit 0 pushes, bit 8 pops, bit 16 jumps. With 66 the stack moves by two bytes, and branches differ between vendors;
     * with VEX there are other instructions. */
    movq %rdi, %rax
    shrq $32, %rax
    movl PREFIXES, %ecx
    andl $PREFIX_66, %ecx
    orl FORM, %ecx
    negl %ecx
    sbbl %ecx, %ecx
    andl %eax, %ecx
    andl $0x10101, %ecx
    orl %ecx, %r14d

/* ---- address -----------------------------------------------------------------------------------------------------------------
 * R12 = that of the ModRM operand, or RSI of a string; R11 = the base's value, or the register that ModRM names; RDX = RDI,
 * RBX = RCX, of 32 bits with 67. */
    movl REX, %ecx
    andl $1, %ecx
    leal (%r11,%rcx,8), %ecx
    PICK_REGISTER %ecx, %ecx, %r11
    testl %edx, %edx
    movq %r10, %rcx
    cmovnzq constant_0(%rip), %rcx
    testl %r12d, %r12d
    movq %r11, %r12
    cmovnzq %rcx, %r12
    addq %rbx, %r12
    movl %ebp, %ecx
    shrl $11, %ecx
    andl $7, %ecx
    movl REX, %ebx
    shll $2, %ebx
    andl $8, %ebx
    orl %ebx, %ecx
    testl %edx, %edx
    cmovzl constant_4(%rip), %ecx   /* 4: no index */
    PICK_REGISTER %ecx, %edx, %rdx
    cmpl $4, %ecx
    cmoveq constant_0(%rip), %rdx
    movl %ebp, %ecx
    shrl $14, %ecx
    andl $3, %ecx
    shlq %cl, %rdx
    addq %rdx, %r12
    cmpl $K_STRING, %r8d
    cmoveq REG(6), %r12
    testb $PREFIX_67, PREFIXES
    movl %r12d, %ecx
    cmovnzq %rcx, %r12
    movq REG(7), %rdx
    movl %edx, %ecx
    cmovnzq %rcx, %rdx
    movq REG(1), %rbx
    movl %ebx, %ecx
    cmovnzq %rcx, %rbx
    testb $PREFIX_GS, PREFIXES
    movl $0, %ecx
    cmovnzq GSBASE, %rcx
    testb $PREFIX_FS, PREFIXES
    cmovnzq FSBASE, %rcx
    addq %rcx, %r12

/* ---- accesses ----------------------------------------------------------------------------------------------------------------- */
    testl %r14d, %r14d
    cmovnzl constant_0(%rip), %r13d
    /* The branch's target, if it is known: to an immediate, or through a register. */
    addq %r10, %r9
    cmpl $0, HAS_MODRM
    cmovnzq %r11, %r9
    movq RIP, %r10
    addq %r13, %r10
    testl $1 << 16, %eax
    cmovzq %r10, %r9
    movl MEMORY, %ecx
    orl %r14d, %ecx
    cmovnzq %r10, %r9
    movq OUT, %rcx
    movq %r13, DECODED_LENGTH(%rcx)
    movq %r9, DECODED_TARGET(%rcx)
    /* R9 = reads, R10 = writes: 1 and 2. R11, RAX = the accesses; R9 = the second address. */
    movl %edi, %r9d
    andl $1, %r9d
    movl %edi, %r10d
    shrl $KIND_WRITE - 1, %r10d
    andl $2, %r10d
    leal (%r9,%r10), %r11d
    andl MEMORY, %r11d
    movl %eax, %ebp
    andl $1, %ebp
    shrl $8, %eax
    andl $1, %eax
    leal (%rax,%rbp,2), %eax
    shll $3, %ebp
    cmpl $K_STRING, %r8d
    cmovel %r9d, %r11d
    movq REG(4), %r9
    subq %rbp, %r9
    cmpl $K_LEAVE, %r8d
    cmoveq REG(5), %r9
    /* A string at RDI: written, else read. */
    testl %r10d, %r10d
    cmovzl constant_1(%rip), %r10d
    btl $KIND_EXTRA, %edi
    sbbl %edi, %edi
    andl %edi, %r10d
    movl $8, %ebp
    cmpl $K_STRING, %r8d
    cmovel %r10d, %eax
    cmoveq %rdx, %r9
    cmovel %r15d, %ebp
    /* Repeated no times. */
    movl PREFIXES, %r10d
    andl $PREFIX_F2 | PREFIX_F3, %r10d
    cmpl $K_STRING, %r8d
    cmovnel constant_0(%rip), %r10d
    testq %rbx, %rbx
    cmovnzl constant_0(%rip), %r10d
    orl %r14d, %r10d
    cmovnzl constant_0(%rip), %r11d
    cmovnzl constant_0(%rip), %eax
    movq %r12, DECODED_OPERAND0 + 0(%rcx)
    movq %r15, DECODED_OPERAND0 + 8(%rcx)
    movq %r11, DECODED_OPERAND0 + 16(%rcx)
    movq %r9, DECODED_OPERAND1 + 0(%rcx)
    movq %rbp, DECODED_OPERAND1 + 8(%rcx)
    movq %rax, DECODED_OPERAND1 + 16(%rcx)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    movups \n * 16(%rsp), %xmm\n
    .endr
    addq $FRAME, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
.size decode, . - decode

.section .rodata.decode, "a"
.balign 8
constant_0:    .quad 0
constant_1:    .quad 1
constant_4:    .quad 4
sizes_plain:   .quad SIZES(2, 2, 3)
sizes_66:      .quad SIZES(1, 2, 3)
sizes_w:       .quad SIZES(3, 3, 4)
immediates_66: .quad IMMEDIATES(2, 2)
immediates_w:  .quad IMMEDIATES(4, 8)
.section .note.GNU-stack, "", @progbits
