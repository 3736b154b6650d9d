/* SPDX-License-Identifier: Apache-2.0
 *
 * The ELF loader: a valid program is placed and loaded byte for byte, each single defect is named, and thousands of
 * randomly damaged ones are refused or give an image that keeps its promises (VIGIL_TEST_SEED repeats a run). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/libos.h"
#include "libos/mm/mm.h"
#include "libos/process/elf.h"

#include <linux/elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP (16u << 20)
#define FILE_SIZE 0x3000

/* A program of three segments: headers and text, data with a bss, and a read-only one that shares the data's last
 * page. Addresses are relative to file.base. */
static struct {
    Elf64_Ehdr header;
    Elf64_Phdr ph[8];
    unsigned char rest[FILE_SIZE - sizeof(Elf64_Ehdr) - 8 * sizeof(Elf64_Phdr)];
} elf;
static size_t elf_size;

static void make_elf(uint16_t type, uint64_t base)
{
    unsigned char *bytes = (unsigned char *)&elf;

    for (size_t i = 0; i < sizeof(elf); i++)
        bytes[i] = (unsigned char)(i * 13 + 1 + i / 256);
    elf_size = sizeof(elf);
    elf.header = (Elf64_Ehdr){
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = type,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = base + 0x400,
        .e_phoff = offsetof(__typeof__(elf), ph),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 5,
    };
    elf.ph[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, base, base, 0x1100, 0x1100, 0x1000};
    elf.ph[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x1200, base + 0x4200, 0, 0x900, 0x1400, 0x1000};
    elf.ph[2] = (Elf64_Phdr){PT_LOAD, PF_R, 0x2800, base + 0x5800, 0, 0x400, 0x400, 0x1000};
    elf.ph[3] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
    elf.ph[4] = (Elf64_Phdr){PT_NOTE, PF_R, 0x200, base + 0x200, 0, 0x20, 0x20, 4};
}

/* fs/ as the loader sees it. */
static int open_error, open_loader_error;
static int references;

struct file *file_open(const char *path, int flags, int mode, int *error)
{
    (void)flags, (void)mode;
    bool loader = !strcmp(path, "/lib");
    if (!loader)
        assert_string_equal(path, "/program");
    *error = loader ? open_loader_error : open_error;
    references += !*error;
    return *error ? NULL : (struct file *)&elf;
}

long file_pread(struct file *file, void *buf, size_t n, uint64_t offset)
{
    assert_ptr_equal(file, &elf);
    if (offset >= elf_size)
        return 0;
    if (n > elf_size - offset)
        n = elf_size - offset;
    if (n > 777)
        n = 777; /* short reads are not the end */
    memcpy(buf, (const char *)&elf + offset, n);
    return (long)n;
}

void file_put(struct file *file)
{
    if (file != (struct file *)&elf)
        return; /* another part's, at start-up */
    references--;
}

struct file *file_from_fd(int fd)
{
    (void)fd;
    return NULL;
}

static long read_elf(void *context, void *buf, size_t n, uint64_t offset)
{
    size_t done = 0;
    long got = 1;

    for (; done < n && got > 0; done += (size_t)got)
        got = file_pread(context, (char *)buf + done, n - done, offset + done);
    return (long)done;
}

static const struct elf_source source = {read_elf, &elf};
static struct elf_image image;
static char cause[ELF_CAUSE_SIZE];

static int setup(void **state)
{
    (void)state;
    fake_enclave_init(APP);
    open_error = open_loader_error = 0;
    references = 0;
    cause[0] = 0;
    make_elf(ET_EXEC, 0x400000);
    return 0;
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */
static void a_valid_program_is_understood(void **state)
{
    (void)state;
    assert_true(elf_parse(&source, &image, cause));
    assert_false(image.pie);
    assert_false(image.exec_stack);
    assert_int_equal(image.entry, 0x400400);
    assert_int_equal(image.phdr, 0x400040);
    assert_int_equal(image.phnum, 5);
    assert_int_equal(image.segments, 3);
    assert_int_equal(image.low, 0x400000);
    assert_int_equal(image.high, 0x406000);
    assert_int_equal(image.segment[1].prot, PROT_READ | PROT_WRITE);
    elf.ph[3].p_flags |= PF_X;
    elf.header.e_type = ET_DYN;
    assert_true(elf_parse(&source, &image, cause));
    assert_true(image.pie && image.exec_stack);
}

static void refused(const char *expected)
{
    cause[0] = 0;
    if (elf_parse(&source, &image, cause))
        fail_msg("accepted, expected: %s", expected);
    if (!strstr(cause, expected))
        fail_msg("said \"%s\", expected: %s", cause, expected);
    make_elf(ET_EXEC, 0x400000);
}

static void each_defect_of_the_header_is_named(void **state)
{
    (void)state;
    elf_size = 0;
    refused("not an ELF");
    elf_size = 3;
    refused("not an ELF");
    elf_size = 40;
    refused("ends inside the ELF header");
    memcpy(&elf, "#!/bin/sh\n", 10);
    elf_size = 10;
    refused("not an ELF program");
    elf.header.e_ident[0] = 'x';
    refused("not an ELF");
    elf.header.e_ident[EI_CLASS] = ELFCLASS32;
    refused("not a 64-bit");
    elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
    refused("another machine");
    elf.header.e_machine = EM_AARCH64;
    refused("another machine (183)");
    elf.header.e_version = 2;
    refused("ELF version");
    elf.header.e_type = ET_REL;
    refused("not an executable");
    elf.header.e_type = ET_CORE;
    refused("not an executable");
    elf.header.e_phentsize = 55;
    refused("headers of 55 bytes");
    elf.header.e_phnum = 0;
    refused("0 program headers");
    elf.header.e_phnum = 65;
    refused("65 program headers");
    elf.header.e_phnum = 0xffff;
    refused("program headers");
    elf.header.e_phoff = ~0ull - 10;
    refused("malformed: program headers at");
    elf.header.e_phoff = 1ull << 40;
    refused("truncated: the program headers");
    for (unsigned i = 0; i < elf.header.e_phnum; i++) {
        elf_size = sizeof(Elf64_Ehdr) + i * sizeof(Elf64_Phdr) + 20;
        refused("truncated: the program headers");
    }
    elf.header.e_entry = 0x4000;
    refused("entry point");
    elf.header.e_entry = 0x404200;
    refused("entry point");
}

static void each_defect_of_a_segment_is_named(void **state)
{
    (void)state;
    elf.ph[4].p_type = PT_INTERP;
    refused("the name of its dynamic loader is not a string");
    elf.ph[4].p_type = PT_INTERP;
    elf.ph[4].p_filesz = ELF_INTERPRETER_SIZE + 1;
    refused("the name of its dynamic loader has 257 bytes");
    elf.ph[3] = elf.ph[4] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = 0x200, .p_filesz = 5};
    memcpy((char *)&elf + 0x200, "/lib", 5);
    refused("two dynamic loaders");
    elf.ph[1].p_memsz = elf.ph[1].p_filesz - 1;
    refused("segment 1 has more bytes in the file");
    elf.ph[1].p_memsz = 1ull << 60;
    refused("segment 1 covers");
    elf.ph[1].p_vaddr = ~0ull - 0x1000;
    refused("segment 1 covers");
    elf.ph[1].p_offset = ~0ull - 0xff;
    refused("segment 1 lies at byte");
    elf.ph[1].p_align = 0x1001;
    refused("alignment");
    elf.ph[1].p_align = 1ull << 62;
    refused("alignment");
    elf.ph[1].p_offset += 8;
    refused("different places of a page");
    elf.ph[1].p_vaddr = 0x400200;
    refused("overlaps or precedes");
    elf.ph[2].p_vaddr = 0x300800;
    refused("segment 2 at 0x300800 overlaps or precedes");
    elf.ph[1].p_memsz = 0x1601;
    refused("overlaps");
    elf.ph[2].p_filesz = elf.ph[2].p_memsz = 0x801;
    refused("truncated: the loadable segment 2 should end at byte 12289");
    elf_size = 0x2bff;
    refused("truncated: the loadable segment 2");
    elf_size = 0x1aff;
    refused("truncated: the loadable segment 1");
    elf_size = 0x1000;
    refused("truncated: the loadable segment 0");
    for (int i = 0; i < 3; i++)
        elf.ph[i].p_type = PT_NULL;
    refused("nothing to load");
    for (int i = 0; i < 3; i++)
        elf.ph[i].p_memsz = elf.ph[i].p_filesz = 0;
    refused("nothing to load");
}

static void programs_are_placed_inside_or_refused(void **state)
{
    uint64_t bias = 99;

    (void)state;
    assert_true(elf_parse(&source, &image, cause));
    assert_true(elf_place(&image, 0x400000, 0x406000, &bias, cause));
    assert_int_equal(bias, 0);
    assert_false(elf_place(&image, 0x401000, 0x800000, &bias, cause));
    assert_false(elf_place(&image, 0x10000, 0x405000, &bias, cause));
    assert_non_null(strstr(cause, "outside the application memory 0x10000-0x405000"));

    make_elf(ET_DYN, 0);
    assert_true(elf_parse(&source, &image, cause));
    assert_true(elf_place(&image, 0x10000, 0x10000000, &bias, cause));
    assert_int_equal(bias, 0x400000);
    assert_true(elf_place(&image, 0x10000, 0x16000, &bias, cause)); /* just fits, lower */
    assert_int_equal(bias, 0x10000);
    assert_false(elf_place(&image, 0x10000, 0x15000, &bias, cause));
    assert_non_null(strstr(cause, "enlarge sgx.enclave_size"));
    image.align = 1 << 25;
    assert_true(elf_place(&image, 0x10000, 0x10000000, &bias, cause));
    assert_int_equal(bias, 1 << 25);

    make_elf(ET_DYN, 0x7000);
    assert_true(elf_parse(&source, &image, cause));
    assert_true(elf_place(&image, 0x10000, 0x10000000, &bias, cause));
    assert_int_equal(image.low + bias, 0x400000);
}

static void check_promises(void)
{
    uint64_t bias, end = 0;

    assert_true(image.segments >= 1 && image.segments <= ELF_MAX_SEGMENTS);
    assert_true(image.align >= VIGIL_PAGE && !(image.align & (image.align - 1)));
    assert_true(image.low < image.high && !((image.low | image.high) & (VIGIL_PAGE - 1)));
    for (uint32_t i = 0; i < image.segments; i++) {
        const struct elf_segment *s = &image.segment[i];
        assert_true(s->memsz && s->filesz <= s->memsz && s->vaddr >= end);
        assert_true(!s->filesz || (s->offset < elf_size && s->filesz <= elf_size - s->offset));
        end = s->vaddr + s->memsz;
        assert_true(end > s->vaddr && s->vaddr >= image.low && end <= image.high);
    }
    if (elf_place(&image, 0x10000, 0x10000000, &bias, cause)) {
        assert_true(image.low + bias >= 0x10000 && image.low + bias < image.high + bias);
        assert_true(image.high + bias <= 0x10000000);
        assert_true(!(bias & (VIGIL_PAGE - 1)));
    }
}

static void random_damage_is_refused_or_harmless(void **state)
{
    const char *given = getenv("VIGIL_TEST_SEED");
    unsigned accepted = 0;

    (void)state;
    srandom(given ? (unsigned)strtoul(given, NULL, 0) : 20240229);
    for (int round = 0; round < 40000; round++) {
        unsigned char *bytes = (unsigned char *)&elf;
        make_elf(round % 2 ? ET_EXEC : ET_DYN, round % 2 ? 0x400000 : 0);
        for (long n = 1 + random() % 3; n--;) {
            size_t at = 16 + (size_t)random() % (sizeof(Elf64_Ehdr) + 5 * sizeof(Elf64_Phdr) - 16);
            bytes[at] = random() % 2 ? (unsigned char)random() : (unsigned char)(bytes[at] ^ 1 << random() % 8);
        }
        if (random() % 8 == 0)
            elf_size = (size_t)random() % sizeof(elf);
        cause[0] = 0;
        if (elf_parse(&source, &image, cause)) {
            accepted++;
            check_promises();
        } else {
            assert_true(cause[0]);
        }
    }
    assert_true(accepted > 1000 && accepted < 39000);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */
static void run_start(void *arg)
{
    (void)arg;
    libos_start();
}

static uint64_t loaded_at(void)
{
    uint64_t align = 4 << 20;
    return (boot_info()->app_start + align - 1) & ~(align - 1);
}

static void check_bytes(uint64_t addr, const void *expected, size_t n)
{
    static char buf[FILE_SIZE];

    assert_int_equal(copy_from_user(buf, (void *)addr, n), 0);
    if (expected)
        assert_memory_equal(buf, expected, n);
    for (size_t i = 0; !expected && i < n; i++)
        assert_int_equal(buf[i], 0);
}

static void a_valid_program_is_loaded(void **state)
{
    const char *file = (const char *)&elf;

    (void)state;
    make_elf(ET_DYN, 0);
    assert_int_equal(fake_catch_exit(run_start, NULL), -1);
    assert_int_equal(references, 0);
    uint64_t base = loaded_at();
    assert_int_equal(current_regs()->rip, base + 0x400);
    assert_int_equal(current_regs()->rdx, 0);
    assert_int_equal(current_regs()->rflags, 0x202);
    assert_string_equal(current_thread()->name, "program");
    check_bytes(base, file, 0x1100);
    check_bytes(base + 0x1100, NULL, 0xf00);
    check_bytes(base + 0x4000, NULL, 0x200);
    check_bytes(base + 0x4200, file + 0x1200, 0x900);
    check_bytes(base + 0x4b00, NULL, 0xb00);
    check_bytes(base + 0x5800, file + 0x2800, 0x400);
    assert_int_equal(mm_prot_at(base + 0x1000), PROT_READ | PROT_EXEC);
    assert_int_equal(mm_prot_at(base + 0x2000), -1);
    assert_int_equal(mm_prot_at(base + 0x4000), PROT_READ | PROT_WRITE);
    assert_int_equal(mm_prot_at(base + 0x5000), PROT_READ | PROT_WRITE); /* shared: what any of the two needs */
    assert_int_equal(mm_brk(0), base + 0x6000);
}

static void start_refuses(int code, const char *expected)
{
    int status = fake_catch_exit(run_start, NULL);

    if (status != code << 8)
        fail_msg("wait status 0x%x, expected exit code %d", status, code);
    if (strncmp(fake_last_log(), "/program: ", 10) || !strstr(fake_last_log(), expected))
        fail_msg("said \"%s\", expected: %s", fake_last_log(), expected);
}

static void name_a_loader(void)
{
    elf.ph[4] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 5};
    memcpy((char *)&elf + 0x300, "/lib", 5);
}

/* The one file there is serves as its own loader. */
static void the_dynamic_loader_comes_first(void **state)
{
    (void)state;
    make_elf(ET_DYN, 0);
    name_a_loader();
    assert_int_equal(fake_catch_exit(run_start, NULL), -1);
    assert_int_equal(references, 0);
    uint64_t base = loaded_at(), loader = current_regs()->rip - 0x400;
    assert_true(loader > base + 0x6000 && loader % VIGIL_PAGE == 0);
    check_bytes(base + 0x4200, (const char *)&elf + 0x1200, 0x900);
    check_bytes(loader + 0x4200, (const char *)&elf + 0x1200, 0x900);
    assert_int_equal(mm_prot_at(loader + 0x1000), PROT_READ | PROT_EXEC);
    assert_int_equal(mm_brk(0), base + 0x6000);
    uint64_t at = current_regs()->rsp, aux[64] = {0}, pair[2] = {1, 1};
    for (int ends = 0; ends < 2; at += 8) {
        uint64_t word;
        copy_from_user(&word, (void *)(at + 8), 8);
        ends += !word;
    }
    for (at += 8; pair[0]; at += 16) {
        copy_from_user(pair, (void *)at, 16);
        aux[pair[0] % 64] = pair[1];
    }
    assert_int_equal(aux[7], loader);        /* AT_BASE */
    assert_int_equal(aux[9], base + 0x400);  /* AT_ENTRY */
}

static void script(const char *text)
{
    elf_size = strlen(text);
    memcpy(&elf, text, elf_size);
}

static void a_script_names_its_interpreter(void **state)
{
    (void)state;
    script("#!\n");
    start_refuses(126, "names no interpreter");
    script("#! /program -x \n"); /* itself: a loop */
    start_refuses(126, "more than 4 times");
    char line[300] = "#!/";
    memset(line + 3, 'x', 280);
    script(line);
    start_refuses(126, "whose first line has more than");
    assert_int_equal(references, 0);
}

static void a_bad_program_ends_with_126_and_one_line(void **state)
{
    (void)state;
    fake_config()->log_level = VIGIL_LOG_NONE; /* keeps the test's output quiet; the line is kept all the same */
    start_refuses(126, "outside the application memory");
    make_elf(ET_DYN, 0);
    name_a_loader();
    open_loader_error = -ENOENT;
    start_refuses(127, "its dynamic loader /lib: not found");
    open_loader_error = 0;
    make_elf(ET_EXEC, 0x400000);
    name_a_loader();
    start_refuses(126, "its dynamic loader /lib: it is linked to fixed addresses");
    make_elf(ET_DYN, 0);
    open_error = -ENOENT;
    start_refuses(127, "not found");
    open_error = -EACCES;
    start_refuses(126, "access denied");
    open_error = -EIO;
    start_refuses(126, "error 5");
    open_error = 0;
    make_elf(ET_DYN, 0);
    fake_config()->stack_size = APP;
    start_refuses(126, "no room for its stack");
    fake_config()->stack_size = 65536;
    fake_protect_error = -ENOMEM;
    assert_int_equal(fake_catch_exit(run_start, NULL), 126 << 8);
    fake_protect_error = 0;
    static char long_argument[20000];
    memset(long_argument, 'x', sizeof(long_argument) - 1);
    const char *argv[] = {"program", long_argument, NULL};
    fake_config_list(&fake_config()->argv, argv);
    start_refuses(126, "enlarge sys.stack.size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_valid_program_is_understood, setup),
        cmocka_unit_test_setup(each_defect_of_the_header_is_named, setup),
        cmocka_unit_test_setup(each_defect_of_a_segment_is_named, setup),
        cmocka_unit_test_setup(programs_are_placed_inside_or_refused, setup),
        cmocka_unit_test_setup(random_damage_is_refused_or_harmless, setup),
        cmocka_unit_test_setup(a_valid_program_is_loaded, setup),
        cmocka_unit_test_setup(the_dynamic_loader_comes_first, setup),
        cmocka_unit_test_setup(a_script_names_its_interpreter, setup),
        cmocka_unit_test_setup(a_bad_program_ends_with_126_and_one_line, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
