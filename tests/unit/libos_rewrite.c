/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls that become jumps: which bytes are taken for one and which are not, what the trampolines do, and where the
 * program is said to be meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/libos.h"
#include "libos/mm/mm.h"
#include "libos/rewrite/rewrite.h"

#include <string.h>

#define CODE 0x4000
#define BEFORE "\xb8\x27\0\0\0\x0f\x05"                 /* mov $39,%eax; syscall */
#define BEHIND "\x0f\x05\x48\x3d\x01\xf0\xff\xff"       /* syscall; cmp $-4095,%rax */

#define WITH_LEA "\xb8\x0e\0\0\0\x48\x8d\xb3\xf0\x08\0\0\x0f\x05" /* mov $14,%eax; lea 0x8f0(%rbx),%rsi; syscall */
/* mov $60,%edx; xchg %ax,%ax; xor %edi,%edi; mov %edx,%eax; syscall */
#define WITH_END "\xba\x3c\0\0\0\x66\x90\x31\xff\x89\xd0\x0f\x05"

static uint8_t *code;

static int setup(void **state)
{
    (void)state;
    fake_enclave_init(256 * VIGIL_PAGE);
    assert_int_equal(mm_init(), 0);
    long at = mm_map(boot_info()->app_start + 64 * VIGIL_PAGE, CODE, PROT_RW, MAP_FIXED | MAP_PRIVATE);
    assert_true(at > 0);
    code = (uint8_t *)at;
    memset(code, 0x90, CODE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rewrite_code_gone(0, ~0ull);
    return 0;
}

static void put(size_t at, const char *bytes, size_t n)
{
    memcpy(code + at, bytes, n);
}

/* What scanning finds first: its place, or -1. */
static long found(enum rewrite_form *form)
{
    uint64_t at = (uint64_t)code;
    struct rewrite_site site;

    if (!rewrite_next((uint64_t)code, (uint64_t)code + CODE, &at, &site))
        return -1;
    if (form)
        *form = site.form;
    return (long)(site.syscall - (uint64_t)code);
}

static void only_what_is_certain_is_found(void **state)
{
    enum rewrite_form form;

    (void)state;
    assert_int_equal(found(NULL), -1);
    put(100, "\x0f\x05\xc3", 3);                        /* syscall; ret */
    assert_int_equal(found(NULL), -1);
    put(200, BEFORE, 7);
    assert_int_equal(found(&form), 205);
    assert_int_equal(form, REWRITE_BEFORE);
    put(199, "\x41", 1);                                /* mov $39,%r8d */
    assert_int_equal(found(NULL), -1);
    put(199, "\x90", 1);
    put(202, "\x02", 1);                                /* number 0x227: no system call */
    assert_int_equal(found(NULL), -1);
    memset(code + 195, 0x90, 20);
    put(200, WITH_LEA, 14);
    assert_int_equal(found(&form), 212);
    assert_int_equal(form, REWRITE_BEFORE);
    put(199, "\x41", 1);                                /* mov $14,%r8d */
    assert_int_equal(found(NULL), -1);
    put(199, "\x90", 1);
    put(206, "\x8b", 1);                                /* a load, which may fault */
    assert_int_equal(found(NULL), -1);
    put(206, "\x8d\x35", 2);                            /* relative to RIP */
    assert_int_equal(found(NULL), -1);
    put(200, "\x90\xb8\x0e\0\0\0\x48\x8d\x73\x08\x90\x90\x0f\x05", 14); /* something else in between */
    assert_int_equal(found(NULL), -1);
    put(200, WITH_END, 13);
    assert_int_equal(found(&form), 211);
    assert_int_equal(form, REWRITE_BEFORE);
    put(209, "\x89\xd8", 2);                            /* mov %ebx,%eax */
    assert_int_equal(found(NULL), -1);
    put(200, "\xba\x3c\0\0\0\x75\xfe\x31\xff\x89\xd0\x0f\x05", 13); /* a branch in between */
    assert_int_equal(found(NULL), -1);
    memset(code, 0x90, 20);
    put(0, WITH_LEA, 14);                               /* nothing in front of it is known */
    assert_int_equal(found(NULL), -1);
    memset(code, 0x90, 20);
    memset(code + 195, 0x90, 20);
    put(250, "\x48\xb9" BEFORE "\xc3", 10);             /* mov $...,%rcx */
    put(270, "\x49\xbf\x90" BEFORE, 10);               /* mov $...,%r15 */
    put(290, "\x48\xb8" BEHIND, 10);                   /* mov $...,%rax */
    assert_int_equal(found(NULL), -1);
    put(300, BEHIND, 8);
    assert_int_equal(found(&form), 300);
    assert_int_equal(form, REWRITE_BEHIND);
    put(304, "\x02", 1);                                /* another constant */
    assert_int_equal(found(NULL), -1);
    put(CODE - 7, BEHIND, 7);                           /* cut off */
    assert_int_equal(found(NULL), -1);
    put(CODE - 8, BEHIND, 8);
    assert_int_equal(found(NULL), CODE - 8);
}

static uint64_t jump_target(size_t at)
{
    int32_t distance;

    assert_int_equal(code[at], 0xe9);
    memcpy(&distance, code + at + 1, sizeof(distance));
    return (uint64_t)(code + at + 5) + (uint64_t)(int64_t)distance;
}

/* What is in the middle of a jump is nothing that the processor would execute. */
static void assert_caught(size_t at)
{
    static const uint8_t invalid[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a,
                                      0xce, 0xd4, 0xd6, 0xea};

    assert_non_null(memchr(invalid, code[at + 2], sizeof(invalid)));
}

static void sites_jump_to_trampolines(void **state)
{
    uint64_t base = (uint64_t)code, mapped = mm_mapped_bytes(), behind;
    uint8_t *t;
    int32_t distance;

    (void)state;
    put(0x100, BEFORE, 7);
    put(0x200, BEHIND, 8);
    rewrite_code_loaded(base, base + CODE);
    assert_int_equal(rewrite_sites(), 2);
    assert_true(mm_mapped_bytes() > mapped);

    t = (uint8_t *)jump_target(0x100);
    assert_memory_equal(code + 0x105, "\x0f\x05", 2);   /* who jumps here still makes a system call */
    assert_memory_equal(t, "\xb8\x27\0\0\0\x48\x8d\x0d", 8);
    memcpy(&distance, t + 8, sizeof(distance));
    assert_int_equal((uint64_t)(t + 12) + (uint64_t)(int64_t)distance, base + 0x107);
    assert_memory_equal(t + 12, "\xff\x25", 2);
    memcpy(&distance, t + 14, sizeof(distance));
    uint64_t gate;
    memcpy(&gate, t + 18 + distance, sizeof(gate));
    assert_int_equal(gate, syscall_gate_address());
    /* In front of the mov, in front of the syscall. */
    assert_int_equal(rewrite_visible((uint64_t)t), base + 0x100);
    assert_int_equal(rewrite_visible((uint64_t)t + 5), base + 0x105);
    assert_int_equal(rewrite_visible((uint64_t)t + 12), base + 0x105);
    assert_int_equal(rewrite_resume(base + 0x107), base + 0x107);

    t = (uint8_t *)jump_target(0x200);
    assert_caught(0x200);
    behind = rewrite_resume(base + 0x202);
    assert_int_equal(behind, t + 13);
    assert_memory_equal(t + 13, "\x48\x3d\x01\xf0\xff\xff\xe9", 7);
    memcpy(&distance, t + 20, sizeof(distance));
    assert_int_equal((uint64_t)(t + 24) + (uint64_t)(int64_t)distance, base + 0x208);
    assert_int_equal(rewrite_visible((uint64_t)t), base + 0x200);
    assert_int_equal(rewrite_visible((uint64_t)t + 7), base + 0x200);
    assert_int_equal(rewrite_visible(behind), base + 0x202);
    assert_int_equal(rewrite_visible((uint64_t)t + 19), base + 0x208);
    assert_int_equal(rewrite_visible(base + 0x202), base + 0x202);

    assert_int_equal(mm_prot_at((uint64_t)t), PROT_READ | PROT_EXEC);
    rewrite_code_gone(base, base + CODE);
    assert_int_equal(rewrite_sites(), 0);
    assert_int_equal(rewrite_resume(base + 0x202), base + 0x202);
    assert_int_equal(mm_mapped_bytes(), mapped);
}

/* What is between the MOV and the SYSCALL is executed in the trampoline, and is where it was for who looks. */
static void instructions_in_between(void **state)
{
    static const struct { const char *bytes; unsigned length; } forms[] = {{WITH_LEA, 12}, {WITH_END, 11}};
    uint64_t base = (uint64_t)code, at = base + 0xffa; /* the jump is in one page, the rest in another */

    (void)state;
    for (int i = 0; i < 2; i++) {
        unsigned n = forms[i].length;
        uint8_t before[32];
        put(at - base, forms[i].bytes, n + 2);
        memcpy(before, code + (at - base), sizeof(before));
        rewrite_code_loaded(base, base + CODE);
        assert_int_equal(rewrite_sites(), 1);
        const uint8_t *t = (const uint8_t *)jump_target(at - base);
        assert_memory_equal(code + (at - base) + 5, before + 5, n + 2 - 5);
        assert_memory_equal(t, before, n);
        assert_memory_equal(t + n, "\x48\x8d\x0d", 3);
        int32_t distance;
        memcpy(&distance, t + n + 3, sizeof(distance));
        assert_int_equal((uint64_t)(t + n + 7) + (uint64_t)(int64_t)distance, at + n + 2);
        for (unsigned k = 0; k < 27; k++)
            assert_int_equal(rewrite_visible((uint64_t)t + k), at + (k < n ? k : n));
        rewrite_code_changes(at + n - 1, at + n); /* the last of what has been copied */
        assert_int_equal(rewrite_sites(), 0);
        assert_memory_equal(code + (at - base), before, sizeof(before));
        rewrite_code_gone(base, base + CODE);
    }
}

static void many_sites_and_modules(void **state)
{
    uint64_t base = (uint64_t)code, mapped = mm_mapped_bytes();

    (void)state;
    for (size_t at = 16; at + 16 <= CODE; at += 16)
        put(at, BEHIND, 8);
    for (size_t part = 0; part < CODE; part += 0x1000)
        rewrite_code_loaded(base + part, base + part + 0x1000);
    assert_true(rewrite_sites() > 900);
    for (size_t at = 32; at + 32 <= CODE; at += 16) {
        if (code[at] != 0xe9)
            continue;
        assert_caught(at);
        assert_int_equal(rewrite_visible(rewrite_resume(base + at + 2)), base + at + 2);
    }
    rewrite_code_gone(base + 0x1000, base + 0x2000);
    assert_int_equal(rewrite_resume(base + 0x1102), base + 0x1102);
    assert_true(rewrite_resume(base + 0x2102) != base + 0x2102);
    rewrite_code_gone(0, ~0ull);
    assert_int_equal(mm_mapped_bytes(), mapped);
}

/* Bytes behind a SYSCALL, and how many of them move. */
static void plain_instructions_are_known(void **state)
{
    static const struct { const char *bytes; unsigned length; } cases[] = {
        {"\x48\x83\xeb\x01\x75\xf0", 4},                     /* sub $1,%rbx */
        {"\x90\x48\x89\xc3", 0},                             /* nop: the jump covers what is behind it, too */
        {"\x83\xc0\x01\xc3", 3},                             /* add $1,%eax */
        {"\x48\x3d\x00\xf0\xff\xff", 6},
        {"\x48\x89\xc3\x90", 3},                             /* mov %rax,%rbx */
        {"\x48\x98\x48\x89\x04\x24", 0},                     /* cdqe; mov %rax,(%rsp) */
        {"\x48\x89\x44\x24\x08", 5},                         /* mov %rax,8(%rsp) */
        {"\x48\x8b\x83\x00\x01\x00\x00", 7},                 /* mov 0x100(%rbx),%rax */
        {"\x85\xc0\x0f\x88\x10\x00\x00\x00", 0},             /* test; js: only two plain bytes */
        {"\x48\x8b\x05\x10\x00\x00\x00", 0},                 /* relative to RIP */
        {"\xc3\x90\x90\x90", 0},
        {"\xeb\x10\x90\x90", 0},
        {"\xff\xd0\x90\x90\x90", 0},                         /* call *%rax */
        {"\xff\xc8\x90\x90", 0},                             /* dec %eax; nop */
        {"\xe8\x00\x00\x00\x00", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[16];
        memset(bytes, 0xcc, sizeof(bytes));
        memcpy(bytes, cases[i].bytes, 8);
        if (rewrite_plain_length(bytes, sizeof(bytes)) != cases[i].length)
            fail_msg("case %zu: %u, expected %u", i, rewrite_plain_length(bytes, sizeof(bytes)), cases[i].length);
    }
}

static void a_site_that_trapped(void **state)
{
    uint64_t base = (uint64_t)code;

    (void)state;
    put(0x800, "\x0f\x05\x48\x83\xeb\x01\x75\xfa", 8);    /* syscall; sub $1,%rbx; jne to the sub */
    rewrite_code_loaded(base, base + 0x1000);
    put(0x1800, "\x0f\x05\x48\x83\xeb\x01\x75\xfa", 8);   /* the same where no code was loaded */
    assert_int_equal(mm_protect(base, CODE, PROT_READ | PROT_EXEC), 0);
    rewrite_trapped(base + 0x1800);
    assert_int_equal(rewrite_sites(), 0);
    assert_int_equal(code[0x1800], 0x0f);
    rewrite_trapped(base + 0x800);
    assert_int_equal(rewrite_sites(), 1);
    assert_int_equal(mm_prot_at(base + 0x800), PROT_READ | PROT_EXEC);
    uint8_t *t = (uint8_t *)jump_target(0x800);
    assert_memory_equal(t + 13, "\x48\x83\xeb\x01\xe9", 5);
    assert_int_equal(rewrite_resume(base + 0x802), t + 13);
    assert_int_equal(rewrite_visible((uint64_t)t + 13), base + 0x802);
    assert_int_equal(rewrite_visible((uint64_t)t + 17), base + 0x806);
    rewrite_trapped(base + 0x800);
    assert_int_equal(rewrite_sites(), 1);
    rewrite_code_gone(0, ~0ull);
    assert_int_equal(rewrite_resume(base + 0x802), base + 0x802);
}

/* All at once, or the one that a page more or less belongs to. */
static void code_that_changes_is_what_it_was(void **state)
{
    uint64_t base = (uint64_t)code, mapped = mm_mapped_bytes();
    static uint8_t before[CODE];

    (void)state;
    for (size_t at = 0xffc; at < CODE - 0x1000; at += 0x1000)
        put(at, BEHIND, 8);                              /* across the end of a page */
    put(0x100, BEFORE, 7);
    put(0x200, BEHIND, 8);
    memcpy(before, code, CODE);
    rewrite_code_loaded(base, base + CODE);
    assert_int_equal(rewrite_sites(), 5);
    assert_int_equal(mm_protect(base, CODE, PROT_READ | PROT_EXEC), 0);
    rewrite_code_changes(base + 0x1000, base + 0x2000);  /* two of them: one ends in it, one begins */
    assert_int_equal(rewrite_sites(), 3);
    assert_memory_equal(code + 0xf00, before + 0xf00, 0x1800);
    assert_int_equal(code[0x200], 0xe9);
    assert_int_equal(rewrite_resume(base + 0xffe), base + 0xffe);
    assert_true(rewrite_resume(base + 0x202) != base + 0x202);
    rewrite_trapped(base + 0xffc);                       /* not again */
    assert_int_equal(rewrite_sites(), 3);
    assert_int_equal(mm_prot_at(base + 0x1000), PROT_READ | PROT_EXEC);
    /* Part of it is gone, what is left of a site is what it was. */
    rewrite_code_gone(base + 0x3000, base + CODE);
    assert_int_equal(rewrite_sites(), 2);
    assert_memory_equal(code + 0x2ffc, before + 0x2ffc, 4);
    rewrite_code_changes(base, base + CODE);
    assert_memory_equal(code, before, CODE);
    assert_int_equal(rewrite_sites(), 0);
    assert_int_equal(mm_mapped_bytes(), mapped);
}

/* The program maps something where the trampolines are. */
static void trampolines_make_room(void **state)
{
    uint64_t base = (uint64_t)code;

    (void)state;
    put(0x100, BEFORE, 7);
    put(0x200, BEHIND, 8);
    rewrite_code_loaded(base, base + CODE);
    assert_int_equal(mm_protect(base, CODE, PROT_READ | PROT_EXEC), 0);
    uint64_t page = jump_target(0x100) & ~0xfffull;
    rewrite_code_gone(page, page + VIGIL_PAGE);
    assert_int_equal(rewrite_sites(), 0);
    assert_memory_equal(code + 0x100, BEFORE, 7);
    assert_memory_equal(code + 0x200, BEHIND, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_is_certain_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(sites_jump_to_trampolines, setup, teardown),
        cmocka_unit_test_setup_teardown(instructions_in_between, setup, teardown),
        cmocka_unit_test_setup_teardown(many_sites_and_modules, setup, teardown),
        cmocka_unit_test(plain_instructions_are_known),
        cmocka_unit_test_setup_teardown(a_site_that_trapped, setup, teardown),
        cmocka_unit_test_setup_teardown(code_that_changes_is_what_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(trampolines_make_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
