/* SPDX-License-Identifier: Apache-2.0
 *
 * Hand-written cases of the decoder: one for each mistake of the decoder in Intel's SGX SDK 2.29, and its own corners. */
#include "enclave/notify/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FS 0x7000000000ull
#define GS 0x5000000000ull
static struct checkpoint regs __attribute__((aligned(16)));

static int setup(void **state)
{
    (void)state;
    regs = (struct checkpoint){.rax = 0x1000, .rcx = 3, .rdx = 0x2000, .rbx = 0x3000, .rsp = 0x70000, .rbp = 0x6000000000,
                               .rsi = 0x4000, .rdi = 0x5000, .r14 = 0xe000, .r15 = 0xf000, .rip = 0x400000, .fsbase = FS};
    return 0;
}

static struct decoded run(const char *bytes, size_t n, uint64_t available)
{
    uint64_t window[2] = {~0ull, ~0ull};
    struct decoded d;

    memcpy(window, bytes, n);
    memset((char *)window + available, 0, 16 - available);
    decode(&d, &regs, GS, window, available);
    return d;
}
#define RUN(bytes) run(bytes, sizeof(bytes) - 1, 15)

static void is(const struct decode_operand *o, uint64_t address, uint64_t size, uint64_t access)
{
    assert_int_equal(o->access, access);
    assert_int_equal(o->address, address);
    assert_int_equal(o->size, size);
}

static void one(struct decoded d, uint64_t length, uint64_t address, uint64_t size, uint64_t access)
{
    assert_int_equal(d.length, length);
    assert_true(d.length);
    is(&d.operand[0], address, size, access);
    assert_int_equal(d.operand[1].access, 0);
}

static void disp32_is_sign_extended(void **state)
{
    (void)state;
    one(RUN("\x48\x8b\x85\x00\xfe\xff\xff"), 7, 0x5ffffffe00, 8, DECODE_READ); /* mov -0x200(%rbp),%rax */
}

static void strings_use_rsi_and_rdi(void **state)
{
    (void)state;
    struct decoded d = RUN("\xf3\xa4"); /* rep movsb */
    assert_int_equal(d.length, 2);
    is(&d.operand[0], 0x4000, 1, DECODE_READ);
    is(&d.operand[1], 0x5000, 1, DECODE_WRITE);
    d = RUN("\xf3\x48\xab"); /* rep stosq */
    assert_int_equal(d.operand[0].access, 0);
    is(&d.operand[1], 0x5000, 8, DECODE_WRITE);
}

static void an_empty_rep_touches_nothing(void **state)
{
    (void)state;
    regs.rcx = 0;
    struct decoded d = RUN("\xf3\xaa");
    assert_true(d.length);
    assert_int_equal(d.operand[0].access | d.operand[1].access, 0);
    regs.rcx = 1ull << 32; /* with 67 the counter is ECX */
    d = RUN("\xf3\x67\xaa");
    assert_int_equal(d.operand[0].access | d.operand[1].access, 0);
    d = RUN("\xf3\xaa");
    is(&d.operand[1], 0x5000, 1, DECODE_WRITE);
}

static void prefetch_is_no_read(void **state)
{
    (void)state;
    struct decoded d = RUN("\x0f\x18\x08"); /* prefetcht0 (%rax) */
    assert_true(d.length);
    assert_int_equal(d.length, 3);
    assert_int_equal(d.operand[0].access | d.operand[1].access, 0);
}

static void too_many_prefixes_are_not_known_but_complete(void **state)
{
    (void)state;
    struct decoded d = RUN("\xf0\x26\x26\x3e\x3e\x66\x81\x83\x85\x8a\x0e\xba\xbd\x31\xad");
    assert_int_equal(d.length, 0);
    assert_int_equal(d.needs_more, 0);
    d = run("\xf0\x26\x26\x3e\x3e\x66\x81\x83\x85\x8a\x0e\xba\xbd\x31", 14, 13);
    assert_int_equal(d.length, 0);
    assert_int_equal(d.needs_more, 1);
}

static void rare_forms_in_memory_are_not_known(void **state)
{
    (void)state;
    assert_int_equal(RUN("\x48\x0f\xab\x08").length, 0); /* bts %rcx,(%rax): a bit string */
    assert_int_equal(RUN("\x0f\xa3\xc8").length, 3);     /* bt %ecx,%eax */
    assert_int_equal(RUN("\x8f\x04\x24").length, 0);     /* pop (%rsp) */
    assert_int_equal(RUN("\x0f\x6f\x00").length, 0);     /* movq (%rax),%mm0 */
    assert_int_equal(RUN("\x40\xc5\xf8\x10\x00").length, 0); /* REX in front of VEX: #UD */
}

static void pop_ret_and_leave_read(void **state)
{
    (void)state;
    struct decoded d = RUN("\x5b");
    is(&d.operand[1], 0x70000, 8, DECODE_READ);
    d = RUN("\xc3");
    is(&d.operand[1], 0x70000, 8, DECODE_READ);
    d = RUN("\xc9");
    is(&d.operand[1], 0x6000000000, 8, DECODE_READ);
}

static void rip_relative_counts_the_immediate(void **state)
{
    (void)state;
    /* movl $0x11223344, 0x100(%rip) */
    one(RUN("\xc7\x05\x00\x01\x00\x00\x44\x33\x22\x11"), 10, 0x400000 + 10 + 0x100, 4, DECODE_WRITE);
    /* cmpb $0, -1(%rip) */
    one(RUN("\x80\x3d\xff\xff\xff\xff\x00"), 7, 0x400000 + 7 - 1, 1, DECODE_READ);
}

static void forms_that_lack_a_prefix_or_w_are_not_known(void **state)
{
    (void)state;
    one(RUN("\x62\xf1\xfe\x08\x7e\x40\x01"), 7, 0x1008, 8, DECODE_READ);   /* vmovq 8(%rax),%xmm0 */
    one(RUN("\x62\xf1\xfd\x08\xd6\x40\x01"), 7, 0x1008, 8, DECODE_WRITE);  /* vmovq %xmm0,8(%rax) */
    one(RUN("\x62\xf1\x7d\x08\x7e\x40\x01"), 7, 0x1004, 4, DECODE_WRITE);  /* vmovd %xmm0,4(%rax) */
    one(RUN("\x62\xf1\xfd\x08\x7e\x40\x01"), 7, 0x1008, 8, DECODE_WRITE);  /* vmovq %xmm0,8(%rax) */
    assert_int_equal(RUN("\x62\xf1\x7e\x08\x7e\x00").length, 0);            /* AVX10.2: vmovd (%rax),%xmm0 */
    assert_int_equal(RUN("\x62\xf1\x7d\x08\xd6\x00").length, 0);            /* AVX10.2: vmovd %xmm0,(%rax) */
    one(RUN("\xc5\xfa\x7e\x00"), 4, 0x1000, 8, DECODE_READ);                 /* vmovq, W ignored */
    one(RUN("\xc4\xe1\xfa\x7e\x00"), 5, 0x1000, 8, DECODE_READ);
    one(RUN("\xc4\xe1\x79\xd6\x00"), 5, 0x1000, 8, DECODE_WRITE);
    one(RUN("\xf3\x0f\x7e\x00"), 4, 0x1000, 8, DECODE_READ);                 /* movq */
    one(RUN("\x66\x0f\xd6\x00"), 4, 0x1000, 8, DECODE_WRITE);
    assert_int_equal(RUN("\x0f\xd6\x00").length, 0);                         /* #UD */
    assert_int_equal(RUN("\xf3\x0f\xd6\x00").length, 0);                     /* #UD: movq2dq has no memory */
    assert_int_equal(RUN("\xf3\x0f\xd6\xc0").length, 4);
    one(RUN("\x0f\xc3\x00"), 3, 0x1000, 4, DECODE_WRITE);                     /* movnti */
    one(RUN("\x48\x0f\xc3\x00"), 4, 0x1000, 8, DECODE_WRITE);
    assert_int_equal(RUN("\x66\x0f\xc3\x00").length, 0);                     /* #UD */
    assert_int_equal(RUN("\xf3\x0f\xc3\x00").length, 0);                     /* #UD */
    assert_int_equal(RUN("\xc5\xf9\xc3\x00").length, 0);                     /* #UD */
}

static void segments_have_bases(void **state)
{
    (void)state;
    one(RUN("\x64\x48\x8b\x04\x25\x28\x00\x00\x00"), 9, FS + 0x28, 8, DECODE_READ); /* mov %fs:0x28,%rax */
    one(RUN("\x65\x8b\x00"), 3, GS + 0x1000, 4, DECODE_READ);
}

static void locked_and_xchg_write(void **state)
{
    (void)state;
    struct decoded d = RUN("\xf0\x0f\xc1\x08"); /* lock xadd */
    one(d, 4, 0x1000, 4, DECODE_READ | DECODE_WRITE);
    d = RUN("\x87\x08"); /* xchg */
    one(d, 2, 0x1000, 4, DECODE_READ | DECODE_WRITE);
}

static void push_and_call_have_two_operands(void **state)
{
    (void)state;
    struct decoded d = RUN("\xff\x30"); /* push (%rax) */
    is(&d.operand[0], 0x1000, 8, DECODE_READ);
    is(&d.operand[1], 0x70000 - 8, 8, DECODE_WRITE);
}

static void vectors(void **state)
{
    (void)state;
    one(RUN("\xc5\xfe\x6f\x00"), 4, 0x1000, 32, DECODE_READ);                 /* vmovdqu (%rax),%ymm0 */
    one(RUN("\xc5\xfd\xe7\x02"), 4, 0x2000, 32, DECODE_WRITE);                /* vmovntdq %ymm0,(%rdx) */
    one(RUN("\x62\xf1\xfe\x48\x6f\x40\x02"), 7, 0x1080, 64, DECODE_READ);     /* vmovdqu64 0x80(%rax),%zmm0: disp8*64 */
    one(RUN("\xc4\xe3\x7d\x39\x00\x01"), 6, 0x1000, 16, DECODE_WRITE);        /* vextracti128 $1,%ymm0,(%rax) */
    one(RUN("\x66\x0f\x38\x22\x00"), 5, 0x1000, 2, DECODE_READ);              /* pmovsxbq (%rax),%xmm0 */
    assert_false(RUN("\x62\xf1\xfe\x49\x6f\x00").length);             /* masked */
    assert_false(RUN("\xc4\xe2\x7d\x8c\x00").length);                 /* vpmaskmovd */
}

static void x87(void **state)
{
    (void)state;
    one(RUN("\xdb\x28"), 2, 0x1000, 10, DECODE_READ);                         /* fldt (%rax) */
    one(RUN("\xd9\x3a"), 2, 0x2000, 2, DECODE_WRITE);                         /* fnstcw (%rdx) */
    assert_false(RUN("\xdd\x20").length);                             /* frstor */
    assert_int_equal(RUN("\xd9\xc0").length, 2);
}

static void a_page_may_end(void **state)
{
    (void)state;
    static const char mov[] = "\x48\xc7\x05\x00\x01\x00\x00\x44\x33\x22\x11"; /* movq $.., 0x100(%rip) */
    for (uint64_t available = 1; available < 11; available++) {
        struct decoded d = run(mov, 11, available);
        assert_true(d.needs_more);
        assert_false(d.length);
        assert_int_equal(d.length, 0);
    }
    one(run(mov, 11, 11), 11, 0x400000 + 11 + 0x100, 8, DECODE_WRITE);
}

static void branches_have_targets(void **state)
{
    (void)state;
    struct decoded d = RUN("\x75\xfe");
    assert_int_equal(d.target, 0x400000);
    d = RUN("\xff\xe2"); /* jmp *%rdx */
    assert_int_equal(d.target, 0x2000);
    assert_int_equal(RUN("\xff\x20").target, regs.rip + 2); /* not known */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(disp32_is_sign_extended, setup), cmocka_unit_test_setup(strings_use_rsi_and_rdi, setup),
        cmocka_unit_test_setup(an_empty_rep_touches_nothing, setup), cmocka_unit_test_setup(prefetch_is_no_read, setup),
        cmocka_unit_test_setup(too_many_prefixes_are_not_known_but_complete, setup),
        cmocka_unit_test_setup(rare_forms_in_memory_are_not_known, setup),
        cmocka_unit_test_setup(pop_ret_and_leave_read, setup),
        cmocka_unit_test_setup(rip_relative_counts_the_immediate, setup),
        cmocka_unit_test_setup(forms_that_lack_a_prefix_or_w_are_not_known, setup),
        cmocka_unit_test_setup(segments_have_bases, setup), cmocka_unit_test_setup(locked_and_xchg_write, setup),
        cmocka_unit_test_setup(push_and_call_have_two_operands, setup), cmocka_unit_test_setup(vectors, setup),
        cmocka_unit_test_setup(x87, setup), cmocka_unit_test_setup(a_page_may_end, setup),
        cmocka_unit_test_setup(branches_have_targets, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
