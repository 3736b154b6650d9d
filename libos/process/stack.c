/* SPDX-License-Identifier: Apache-2.0
 *
 * The first thread's stack, filled the way execve fills it. From high to low: 8 zero bytes, the program's path, the
 * environment's strings, the arguments' strings, the platform's name, 16 random bytes, the auxiliary vector, envp,
 * argv, argc. */
#include "libos/process/process.h"

#include "libos/mm/mm.h"
#include "libos/vdso/map.h"

#include <linux/auxvec.h>

#ifndef AT_SYSINFO
#define AT_SYSINFO 32 /* UAPI headers define it for 32-bit programs only */
#endif

#define SIGNAL_FRAME_REST 1024 /* siginfo, ucontext, alignment and red zone around the vector state */
#define CLOCK_TICKS 100
#define HWCAP2_FSGSBASE 2
#define HUGE_PAGE (2u << 20)

static struct process_image image;

const struct process_image *process_image(void)
{
    return &image;
}

struct builder {
    uint64_t at;   /* everything is written upwards from here */
    bool failed;
};

static void put(struct builder *b, const void *data, size_t n)
{
    if (copy_to_user((void *)b->at, data, n))
        b->failed = true;
    b->at += n;
}

static void put_word(struct builder *b, uint64_t value)
{
    put(b, &value, sizeof(value));
}

static uint64_t strings_size(int count, const char **strings)
{
    uint64_t size = 0;

    for (int i = 0; i < count; i++)
        size += strlen(strings[i]) + 1;
    return size;
}

/* Pointers to count strings that lie one behind the other from *at on, and a null pointer. */
static void put_pointers(struct builder *b, int count, const char **strings, uint64_t at)
{
    for (int i = 0; i < count; i++) {
        put_word(b, at);
        at += strlen(strings[i]) + 1;
    }
    put_word(b, 0);
}

static void put_strings(struct builder *b, int count, const char **strings)
{
    for (int i = 0; i < count; i++)
        put(b, strings[i], strlen(strings[i]) + 1);
}

struct aux {
    uint64_t type, value;
};

/* Without room for a vDSO AT_SYSINFO_EHDR is 0, which is the same as none. AT_HWCAP would be CPUID, which enclaves must
 * not execute. AT_SYSINFO (on i386: the kernel's entry point) is the system call gate; x86-64 C libraries do not look at
 * it. */
static uint32_t make_auxv(struct aux *aux, const struct program *program, uint64_t random, uint64_t platform,
                          uint64_t execfn)
{
    const struct aux all[] = {
        {AT_SYSINFO_EHDR, vdso_address()},
        {AT_MINSIGSTKSZ, xsave_area_size() + SIGNAL_FRAME_REST},
        {AT_HWCAP, 0},
        {AT_PAGESZ, VIGIL_PAGE},
        {AT_CLKTCK, CLOCK_TICKS},
        {AT_PHDR, program->phdr},
        {AT_PHENT, 56},
        {AT_PHNUM, program->phnum},
        {AT_BASE, program->interpreter_base},
        {AT_FLAGS, 0},
        {AT_ENTRY, program->entry},
        {AT_UID, process_uid()},
        {AT_EUID, process_uid()},
        {AT_GID, process_gid()},
        {AT_EGID, process_gid()},
        {AT_SECURE, 0},
        {AT_RANDOM, random},
        {AT_HWCAP2, HWCAP2_FSGSBASE},
        {AT_EXECFN, execfn},
        {AT_SYSINFO, syscall_gate_address()},
        {AT_PLATFORM, platform},
        {AT_NULL, 0},
    };

    memcpy(aux, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

/* Address space for a stack above an inaccessible page. If there is room the stack begins at a multiple of 2 MiB: the host's
 * kernel then shows the enclave that it is all zero, which is looked at first of all, with one fault for 2 MiB. */
static uint64_t reserve_stack(uint64_t size)
{
    long low = mm_map(0, size + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);

    if (low >= 0) {
        uint64_t stack = ((uint64_t)low + HUGE_PAGE) & -(uint64_t)HUGE_PAGE, rest = (uint64_t)low + HUGE_PAGE - stack;

        if (stack - VIGIL_PAGE > (uint64_t)low)
            (void)mm_unmap((uint64_t)low, stack - VIGIL_PAGE - (uint64_t)low);
        if (rest)
            (void)mm_unmap(stack + size, rest);
        return stack;
    }
    low = mm_map(0, size + VIGIL_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    return low < 0 ? 0 : (uint64_t)low + VIGIL_PAGE;
}

/* And a page above it: the mitigation's stub loads the stack pointer's page and the next one, and each that is not there
 * costs a fault. */
static uint64_t map_stack(uint64_t size, bool executable)
{
    uint64_t stack = reserve_stack(size + VIGIL_PAGE);

    if (!stack || mm_protect(stack, size + VIGIL_PAGE, PROT_RW | (executable ? PROT_EXEC : 0)))
        return 0;
    return stack + size;
}

uint64_t make_stack(const char *path, const struct program *program, char *cause)
{
    static const char platform[] = "x86_64";

    (void)vdso_map(); /* above the stack */
    uint64_t size = page_up(config()->stack_size), top = map_stack(size, program->exec_stack);
    uint64_t arguments = strings_size(program->argc, program->argv);
    uint64_t environment = strings_size(program->envc, program->envp);
    struct aux aux[32];
    unsigned char random[16];

    if (!top) {
        format(cause, ELF_CAUSE_SIZE, "no room for its stack: lower sys.stack.size or enlarge sgx.enclave_size");
        return 0;
    }
    if (random_bytes(random, sizeof(random))) {
        format(cause, ELF_CAUSE_SIZE, "the processor gives no random numbers");
        return 0;
    }
    uint64_t execfn_at = top - 8 - (strlen(path) + 1);
    uint64_t arguments_at = execfn_at - environment - arguments;
    uint64_t platform_at = arguments_at - sizeof(platform);
    uint64_t random_at = (platform_at - sizeof(random)) & ~15ull;
    uint32_t auxc = make_auxv(aux, program, random_at, platform_at, execfn_at);
    uint64_t words = 1 + (uint64_t)program->argc + 1 + (uint64_t)program->envc + 1;
    uint64_t table = words * 8 + auxc * sizeof(aux[0]);
    if (top - random_at + table > size / 4) {
        format(cause, ELF_CAUSE_SIZE, "its arguments and environment need %lu bytes, more than a quarter of the stack: "
               "enlarge sys.stack.size (now %lu)", (unsigned long)(top - random_at + table), (unsigned long)size);
        return 0;
    }
    struct builder b = {.at = (random_at - table) & ~15ull};
    uint64_t rsp = b.at;
    image = (struct process_image){.arguments = arguments_at, .arguments_end = arguments_at + arguments,
                                   .environment = arguments_at + arguments, .environment_end = execfn_at, .stack = rsp,
                                   .auxv_size = (uint32_t)(auxc * sizeof(aux[0]))};
    memcpy(image.auxv, aux, image.auxv_size);
    put_word(&b, (uint64_t)program->argc);
    put_pointers(&b, program->argc, program->argv, arguments_at);
    put_pointers(&b, program->envc, program->envp, arguments_at + arguments);
    put(&b, aux, auxc * sizeof(aux[0]));
    b.at = random_at;
    put(&b, random, sizeof(random));
    b.at = platform_at;
    put(&b, platform, sizeof(platform));
    put_strings(&b, program->argc, program->argv);
    put_strings(&b, program->envc, program->envp);
    put(&b, path, strlen(path) + 1);
    if (b.failed)
        format(cause, ELF_CAUSE_SIZE, "cannot write its stack: the host took memory of the enclave away");
    return b.failed ? 0 : rsp;
}
