/* SPDX-License-Identifier: Apache-2.0
 *
 * Arguments, environment, auxiliary vector, stack: what a program is given. Prints argv and the sorted environment. */
#include "check.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_layout(int argc, char **argv)
{
    CHECK(argv[argc] == NULL);
    CHECK(environ == argv + argc + 1);
    char **end = environ;
    while (*end)
        end++;
    const Elf64_auxv_t *aux = (const Elf64_auxv_t *)(end + 1);
    int entries = 0;
    while (aux[entries].a_type != AT_NULL && entries < 64)
        entries++;
    CHECK(entries >= 10 && entries < 64);
    CHECK_EQ((uintptr_t)(argv - 1) % 16, 0); /* where RSP was */
    for (int i = 0; i + 1 < argc; i++)
        CHECK(argv[i + 1] == argv[i] + strlen(argv[i]) + 1);
}

static void check_auxv(const char *program)
{
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK_EQ(getauxval(AT_CLKTCK), 100);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EGID), getegid());
    CHECK_EQ(getauxval(AT_BASE) % 4096, 0); /* of the dynamic loader, 0 without one */ /* static: no interpreter */
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    REQUIRE(random);
    int different = 0;
    for (int i = 1; i < 16; i++)
        different += random[i] != random[0];
    CHECK(different > 0);
    CHECK(getauxval(AT_HWCAP) != 0);
    const char *name = (const char *)getauxval(AT_EXECFN);
    CHECK(name && !strcmp(name, program));
    const char *platform = (const char *)getauxval(AT_PLATFORM);
    CHECK(platform && !strcmp(platform, "x86_64"));
    const Elf64_Phdr *phdr = (const Elf64_Phdr *)getauxval(AT_PHDR);
    unsigned long count = getauxval(AT_PHNUM), entry = getauxval(AT_ENTRY);
    int loads = 0, holds_entry = 0;
    unsigned long base = 0;
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)((uintptr_t)phdr - sizeof(Elf64_Ehdr));
    if (header->e_type == ET_DYN)
        base = (unsigned long)header;
    for (unsigned long i = 0; i < count && i < 64; i++)
        if (phdr[i].p_type == PT_LOAD) {
            unsigned long start = base + phdr[i].p_vaddr;
            loads++;
            holds_entry += entry >= start && entry < start + phdr[i].p_memsz && (phdr[i].p_flags & PF_X);
        }
    CHECK(loads >= 2);
    CHECK_EQ(holds_entry, 1);
}

static void check_identity(void)
{
    struct utsname name;
    char cwd[4096];
    CHECK_EQ(uname(&name), 0);
    CHECK(!strcmp(name.sysname, "Linux"));
    CHECK(!strcmp(name.machine, "x86_64"));
    CHECK(getpid() > 0);
    CHECK(getcwd(cwd, sizeof(cwd)) && cwd[0] == '/');
    CHECK_EQ(sysconf(_SC_PAGESIZE), 4096);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK_EQ(getuid(), geteuid());
    CHECK_EQ(getgid(), getegid());
}

static void print_escaped(const char *text)
{
    for (; *text; text++)
        if (*text >= ' ' && *text != '\\' && *text != 127)
            putchar(*text);
        else
            printf("\\x%02x", (unsigned char)*text);
    putchar('\n');
}

int main(int argc, char **argv)
{
    check_layout(argc, argv);
    check_auxv(argv[0]);
    check_identity();
    printf("argc %d\n", argc);
    for (int i = 1; i < argc; i++) {
        printf("argv[%d] (%zu) ", i, strlen(argv[i]));
        print_escaped(argv[i]);
    }
    int count = 0;
    while (environ[count])
        count++;
    qsort(environ, count, sizeof(environ[0]), compare);
    for (int i = 0; i < count; i++)
        print_escaped(environ[i]);
    printf("checks: %s\n", checks_failed ? "FAILED" : "ok");
    return checks_failed != 0;
}
