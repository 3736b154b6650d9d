/* SPDX-License-Identifier: Apache-2.0
 *
 * The first stack as execve lays it out, and the calls of process/ against Linux's conventions and a lying host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/libos.h"
#include "libos/mm/mm.h"
#include "libos/vdso/map.h"
#include "libos/process/process.h"

#include <asm/prctl.h>
#include <asm/unistd_64.h>
#include <linux/auxvec.h>
#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>
#include <string.h>

/* One thread without signals: what these tests are about does not need more. */
bool signals_pending(void)
{
    return false;
}

uint32_t threads_count(void)
{
    return 1;
}

#define APP (8u << 20)

static uint64_t user; /* two pages of read-write application memory */

static int setup(void **state)
{
    (void)state;
    fake_enclave_init(APP);
    assert_int_equal(mm_init(), 0);
    vdso_init();
    assert_int_equal(threads_init(), 0);
    user = (uint64_t)mm_map(0, 2 * VIGIL_PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS);
    assert_true((long)user > 0);
    return 0;
}

static long call(long nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    struct checkpoint *regs = current_regs();

    regs->rax = (uint64_t)nr;
    regs->rdi = a0;
    regs->rsi = a1;
    regs->rdx = a2;
    regs->r10 = a3;
    regs->r8 = a4;
    regs->r9 = 0;
    libos_syscall(regs);
    return (long)regs->rax;
}

/* ---- the first stack --------------------------------------------------------------------------------------------- */
static uint64_t word_at(uint64_t addr)
{
    uint64_t value;

    assert_int_equal(copy_from_user(&value, (void *)addr, 8), 0);
    return value;
}

static void check_string(uint64_t addr, const char *expected)
{
    char buf[256];

    assert_true(strncpy_from_user(buf, (void *)addr, sizeof(buf)) >= 0);
    assert_string_equal(buf, expected);
}

static void the_stack_is_as_execve_makes_it(void **state)
{
    const char *argv[] = {"prog", "", "two words"}, *envp[] = {"A=1", "PATH=/bin"};
    struct program program = {
        .entry = 0x1234, .phdr = 0x40, .phnum = 7, .argc = 3, .argv = argv, .envc = 2, .envp = envp};
    uint64_t aux[64] = {0};

    (void)state;
    char cause[ELF_CAUSE_SIZE];
    uint64_t at = make_stack("/bin/prog", &program, cause), rsp = at;
    assert_int_equal(rsp % 16, 0);
    assert_int_equal(word_at(at), 3);
    uint64_t first = word_at(at + 8);
    check_string(first, "prog");
    check_string(word_at(at + 16), "");
    check_string(word_at(at + 24), "two words");
    assert_int_equal(word_at(at + 32), 0);
    assert_int_equal(word_at(at + 40), first + 5 + 1 + 10); /* the environment lies right behind the arguments */
    check_string(word_at(at + 40), "A=1");
    check_string(word_at(at + 48), "PATH=/bin");
    assert_int_equal(word_at(at + 56), 0);
    for (at += 64; word_at(at); at += 16) {
        assert_true(word_at(at) < 64);
        aux[word_at(at)] = word_at(at + 8);
    }
    assert_int_equal(aux[AT_PHDR], 0x40);
    assert_int_equal(aux[AT_PHENT], 56);
    assert_int_equal(aux[AT_PHNUM], 7);
    assert_int_equal(aux[AT_ENTRY], 0x1234);
    assert_int_equal(aux[AT_PAGESZ], 4096);
    assert_int_equal(aux[AT_CLKTCK], 100);
    assert_int_equal(aux[AT_HWCAP2], 2);
    assert_true(aux[AT_MINSIGSTKSZ] > xsave_area_size());
    assert_int_equal(mm_prot_at(aux[AT_SYSINFO_EHDR]), PROT_READ | PROT_EXEC);
    assert_int_equal((uint32_t)word_at(aux[AT_SYSINFO_EHDR]), 0x464c457f);
    check_string(aux[AT_EXECFN], "/bin/prog");
    check_string(aux[AT_PLATFORM], "x86_64");
    assert_true(word_at(aux[AT_RANDOM]) != 0 && word_at(aux[AT_RANDOM] + 8) != 0);
    /* A guard page below, nothing above. */
    uint64_t low = page_up(aux[AT_EXECFN]) - page_up(config()->stack_size);
    assert_int_equal(mm_prot_at(low), PROT_RW);
    assert_int_equal(mm_prot_at(low - 1), PROT_NONE);
    assert_int_equal(mm_prot_at(low - VIGIL_PAGE - 1), -1);
    assert_int_equal(word_at(page_up(aux[AT_EXECFN]) - 8), 0);
}

static void expect_strings(int count, const char **got, const char *const *expected)
{
    for (int i = 0; i < count; i++) {
        assert_non_null(expected[i]);
        assert_string_equal(got[i], expected[i]);
    }
    assert_null(expected[count]);
}

static void arguments_come_from_where_the_manifest_says(void **state)
{
    char *host_argv[] = {"host", "args", NULL};
    char *host_envp[] = {"LANG=C", "HOME=/root", "odd", "A=host", "LANG=de", NULL};
    const char *argv[] = {"one", "two", NULL}, *env[] = {"A=manifest", NULL}, *pass[] = {"HOME", "A", NULL};
    struct program program = {0};

    (void)state;
    fake_start_info()->argc = 2;
    fake_start_info()->argv = host_argv;
    fake_start_info()->envc = 5;
    fake_start_info()->envp = host_envp;
    collect_arguments(&program);
    expect_strings(program.argc, program.argv, (const char *[]){"/program", NULL});
    expect_strings(program.envc, program.envp, (const char *[]){NULL});
    kfree(program.argv);
    kfree(program.envp);

    fake_config_list(&fake_config()->argv, argv);
    fake_config_list(&fake_config()->env, env);
    fake_config_list(&fake_config()->env_pass, pass);
    program = (struct program){0};
    collect_arguments(&program);
    expect_strings(program.argc, program.argv, argv);
    expect_strings(program.envc, program.envp, (const char *[]){"A=manifest", "HOME=/root", NULL});
    kfree(program.argv);
    kfree(program.envp);

    fake_config()->flags = VIGIL_FLAG_CMDLINE_ARGV | VIGIL_FLAG_HOST_ENV;
    program = (struct program){0};
    collect_arguments(&program);
    expect_strings(program.argc, program.argv, (const char *[]){"host", "args", NULL});
    expect_strings(program.envc, program.envp, (const char *[]){"A=manifest", "LANG=C", "HOME=/root", NULL});
    kfree(program.envp);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */
static void identity(void **state)
{
    uint32_t ids[3];

    (void)state;
    assert_int_equal(call(__NR_getpid, 0, 0, 0, 0, 0), 1);
    assert_int_equal(call(__NR_geteuid, 0, 0, 0, 0, 0), 0);
    fake_config()->flags = VIGIL_FLAG_NO_MANIFEST;
    threads_init();
    assert_int_equal(call(__NR_getpid, 0, 0, 0, 0, 0), 4242);
    assert_int_equal(call(__NR_getpgid, 4242, 0, 0, 0, 0), 4242);
    assert_int_equal(call(__NR_getpgid, 4243, 0, 0, 0, 0), -ESRCH);
    assert_int_equal(call(__NR_getuid, 0, 0, 0, 0, 0), 1000);
    assert_int_equal(call(__NR_setuid, 1000, 0, 0, 0, 0), 0);
    assert_int_equal(call(__NR_setuid, 0, 0, 0, 0, 0), -EPERM);
    assert_int_equal(call(__NR_setresuid, ~0u, 1000, ~0u, 0, 0), 0);
    assert_int_equal(call(__NR_setreuid, 0, ~0u, 0, 0, 0), -EPERM);
    assert_int_equal(call(__NR_getresgid, user, user + 4, user + 8, 0, 0), 0);
    assert_int_equal(copy_from_user(ids, (void *)user, sizeof(ids)), 0);
    assert_true(ids[0] == 1000 && ids[1] == 1000 && ids[2] == 1000);
    assert_int_equal(call(__NR_getresgid, user, 16, user, 0, 0), -EFAULT);
    fake_start_info()->pid = 0xffffffff;
    assert_int_equal(call(__NR_getpid, 0, 0, 0, 0, 0), 1);
}

static void capabilities(void **state)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

    (void)state;
    assert_int_equal(copy_to_user((void *)user, &header, sizeof(header)), 0);
    assert_int_equal(call(__NR_capget, user, user + 64, 0, 0, 0), 0);
    assert_int_equal(word_at(user + 64), 0);
    header.version = 1;
    assert_int_equal(copy_to_user((void *)user, &header, sizeof(header)), 0);
    assert_int_equal(call(__NR_capget, user, user + 64, 0, 0, 0), -EINVAL);
    assert_int_equal((uint32_t)word_at(user), _LINUX_CAPABILITY_VERSION_3);
}

static void limits(void **state)
{
    uint64_t value[2] = {100, 200};

    (void)state;
    assert_int_equal(call(__NR_prlimit64, 0, RLIMIT_STACK, 0, user, 0), 0);
    assert_int_equal(word_at(user), config()->stack_size);
    assert_int_equal(call(__NR_getrlimit, RLIMIT_NOFILE, user, 0, 0, 0), 0);
    assert_int_equal(word_at(user), 900);
    assert_int_equal(copy_to_user((void *)user, value, sizeof(value)), 0);
    assert_int_equal(call(__NR_prlimit64, 0, RLIMIT_NOFILE, user, user + 16, 0), 0);
    assert_int_equal(word_at(user + 16), 900);
    assert_int_equal(process_rlimit(RLIMIT_NOFILE), 100);
    value[1] = 201;
    assert_int_equal(copy_to_user((void *)user, value, sizeof(value)), 0);
    assert_int_equal(call(__NR_setrlimit, RLIMIT_NOFILE, user, 0, 0, 0), -EPERM);
    value[0] = 202;
    assert_int_equal(copy_to_user((void *)user, value, sizeof(value)), 0);
    assert_int_equal(call(__NR_setrlimit, RLIMIT_NOFILE, user, 0, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_prlimit64, 99, RLIMIT_STACK, 0, user, 0), -ESRCH);
    assert_int_equal(call(__NR_prlimit64, 0, 16, 0, user, 0), -EINVAL);
    assert_int_equal(call(__NR_prlimit64, 0, RLIMIT_STACK, 0, 8, 0), -EFAULT);
}

static void fs_base_and_gs(void **state)
{
    (void)state;
    assert_int_equal(call(__NR_arch_prctl, ARCH_SET_FS, user, 0, 0, 0), 0);
    assert_int_equal(current_regs()->fsbase, user);
    assert_int_equal(call(__NR_arch_prctl, ARCH_GET_FS, user, 0, 0, 0), 0);
    assert_int_equal(word_at(user), user);
    assert_int_equal(call(__NR_arch_prctl, ARCH_SET_FS, 1ull << 63, 0, 0, 0), -EPERM);
    assert_int_equal(call(__NR_arch_prctl, ARCH_SET_GS, user, 0, 0, 0), -EPERM);
    assert_int_equal(call(__NR_arch_prctl, 0x3001, user, 0, 0, 0), -EINVAL);
    assert_int_equal(current_regs()->fsbase, user);
}

static void random_numbers(void **state)
{
    unsigned char buf[1000], zero[1000] = {0};

    (void)state;
    assert_int_equal(call(__NR_getrandom, user, 1000, 0, 0, 0), 1000);
    assert_int_equal(copy_from_user(buf, (void *)user, sizeof(buf)), 0);
    for (int i = 0; i + 16 <= 1000; i += 16)
        assert_memory_not_equal(buf + i, zero, 16);
    assert_int_equal(word_at(user + 1000), 0);
    assert_int_equal(call(__NR_getrandom, user, 16, 0x10, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_getrandom, user, 16, 6, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_getrandom, 16, 16, 1, 0, 0), -EFAULT);
    assert_int_equal(call(__NR_getrandom, user, 0, 1, 0, 0), 0);
    /* What fitted before the bad page counts. */
    assert_int_equal(call(__NR_getrandom, user + 2 * VIGIL_PAGE - 256, 512, 1, 0, 0), 256);
}

static void the_program_names_its_own_machine(void **state)
{
    struct new_utsname name;
    (void)state;

    fake_start_info()->uid = 0;
    assert_int_equal(copy_to_user((void *)user, "newname", 7), 0);
    assert_int_equal(call(__NR_sethostname, user, 7, 0, 0, 0), 0);
    assert_int_equal(call(__NR_setdomainname, user, 3, 0, 0, 0), 0);
    assert_int_equal(call(__NR_uname, user + 512, 0, 0, 0, 0), 0);
    copy_from_user(&name, (void *)(user + 512), sizeof(name));
    assert_string_equal(name.nodename, "newname");
    assert_string_equal(name.domainname, "new");
    assert_int_equal(call(__NR_sethostname, user, 65, 0, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_sethostname, user, (uint64_t)-1, 0, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_sethostname, 16, 5, 0, 0, 0), -EFAULT);
    copy_to_user((void *)user, "localhost(none)", 15);
    assert_int_equal(call(__NR_sethostname, user, 9, 0, 0, 0), 0);
    assert_int_equal(call(__NR_setdomainname, user + 9, 6, 0, 0, 0), 0);
}

static void names(void **state)
{
    struct new_utsname name;

    (void)state;
    assert_int_equal(call(__NR_uname, user, 0, 0, 0, 0), 0);
    assert_int_equal(copy_from_user(&name, (void *)user, sizeof(name)), 0);
    assert_string_equal(name.sysname, "Linux");
    assert_string_equal(name.machine, "x86_64");
    assert_int_equal(copy_to_user((void *)user, "a-name-of-more-than-15", 23), 0);
    assert_int_equal(call(__NR_prctl, 15, user, 0, 0, 0), 0);
    assert_int_equal(call(__NR_prctl, 16, user + 64, 0, 0, 0), 0);
    check_string(user + 64, "a-name-of-more-");
    assert_int_equal(call(__NR_prctl, 15, 8, 0, 0, 0), -EFAULT);
    assert_int_equal(call(__NR_prctl, 9999, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_prctl, 39, 0, 0, 0, 0), 0);
    assert_int_equal(call(__NR_prctl, 38, 1, 0, 0, 0), 0);
    assert_int_equal(call(__NR_prctl, 39, 0, 0, 0, 0), 1);
    assert_int_equal(call(__NR_personality, 0xffffffff, 0, 0, 0, 0), 0);
    assert_int_equal(call(__NR_personality, 0x0040000, 0, 0, 0, 0), 0);
    assert_int_equal(call(__NR_personality, 0, 0, 0, 0, 0), 0x0040000);
    assert_int_equal(call(__NR_personality, 5, 0, 0, 0, 0), -EINVAL);
}

static void what_the_host_measures(void **state)
{
    struct rusage usage;

    (void)state;
    assert_int_equal(call(__NR_getrusage, 0, user, 0, 0, 0), 0);
    assert_int_equal(copy_from_user(&usage, (void *)user, sizeof(usage)), 0);
    assert_true(usage.ru_maxrss > 0 && usage.ru_utime.tv_usec < 1000000);
    assert_int_equal(call(__NR_getrusage, (uint64_t)-1, user, 0, 0, 0), 0);
    assert_int_equal(word_at(user), 0);
    assert_int_equal(call(__NR_getrusage, 7, user, 0, 0, 0), -EINVAL);
    assert_true(call(__NR_times, user, 0, 0, 0, 0) > 0);
    assert_int_equal(call(__NR_sysinfo, user, 0, 0, 0, 0), 0);
    struct sysinfo info;
    assert_int_equal(copy_from_user(&info, (void *)user, sizeof(info)), 0);
    assert_int_equal(info.totalram, APP);
    assert_int_equal(info.freeram, APP - 2 * VIGIL_PAGE);
    assert_int_equal(info.procs, 1);
}

static void processors(void **state)
{
    (void)state;
    long n = call(__NR_sched_getaffinity, 0, 128, user, 0, 0);
    assert_true(n >= 8 && n <= 128 && n % 8 == 0);
    assert_true(word_at(user) != 0 || n > 8);
    assert_int_equal(call(__NR_sched_getaffinity, 0, 7, user, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_sched_getaffinity, 777, 128, user, 0, 0), -ESRCH);
    assert_int_equal(call(__NR_sched_setaffinity, 0, (uint64_t)n, user, 0, 0), 0);
    assert_int_equal(call(__NR_getcpu, user, user + 4, 0, 0, 0), 0);
    assert_int_equal(call(__NR_sched_yield, 0, 0, 0, 0, 0), 0);
    assert_int_equal(call(__NR_sched_getscheduler, 0, 0, 0, 0, 0), 0);
    assert_int_equal(call(__NR_getpriority, 0, 0, 0, 0, 0), 20);
    assert_int_equal(call(__NR_sched_get_priority_max, 1, 0, 0, 0, 0), 99);
}

static unsigned char lie;

/* Fills every buffer with the lie and claims everything. */
static long lying_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)a3, (void)a4, (void)a5;
    switch (nr) {
    case __NR_getrusage:
        memset((void *)a1, lie, sizeof(struct rusage));
        return 0;
    case __NR_sched_getaffinity:
        memset((void *)a2, lie, (size_t)a1);
        return lie ? 1 << 20 : 8;
    case __NR_getcpu:
        memset((void *)a0, lie, 8);
        return 0;
    default:
        return 1 << 30;
    }
}

static void a_lying_host_is_not_believed(void **state)
{
    (void)state;
    fake_host = lying_host;
    lie = 0xff;
    assert_int_equal(call(__NR_getrusage, 0, user, 0, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_times, user, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_sched_getaffinity, 0, 128, user, 0, 0), -EINVAL);
    assert_int_equal(call(__NR_getcpu, user, user + 4, 0, 0, 0), 0);
    assert_int_equal(word_at(user), 0);
    assert_int_equal(call(__NR_sched_yield, 0, 0, 0, 0, 0), 0);
    lie = 0;
    assert_int_equal(call(__NR_sched_getaffinity, 0, 128, user, 0, 0), 8);
    assert_int_equal(word_at(user), 1);
}

static void exit_with(void *code)
{
    call(__NR_exit_group, (uint64_t)code, 0, 0, 0, 0);
}

static void exit_codes_are_eight_bits(void **state)
{
    (void)state;
    assert_int_equal(fake_catch_exit(exit_with, (void *)7), 7 << 8);
    assert_int_equal(fake_catch_exit(exit_with, (void *)-1), 255 << 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(limits, setup), /* first: limits are set once a process */
        cmocka_unit_test_setup(the_stack_is_as_execve_makes_it, setup),
        cmocka_unit_test_setup(arguments_come_from_where_the_manifest_says, setup),
        cmocka_unit_test_setup(identity, setup),
        cmocka_unit_test_setup(capabilities, setup),
        cmocka_unit_test_setup(fs_base_and_gs, setup),
        cmocka_unit_test_setup(random_numbers, setup),
        cmocka_unit_test_setup(names, setup),
        cmocka_unit_test_setup(the_program_names_its_own_machine, setup),
        cmocka_unit_test_setup(what_the_host_measures, setup),
        cmocka_unit_test_setup(processors, setup),
        cmocka_unit_test_setup(a_lying_host_is_not_believed, setup),
        cmocka_unit_test_setup(exit_codes_are_eight_bits, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
