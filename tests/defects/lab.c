/* SPDX-License-Identifier: Apache-2.0
 *
 * See lab.h: the child process, the enclave in it, and what comes back. */
#include "tests/defects/lab.h"
#include "image/manifest.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 280
#define FAILED 77

struct lab_map lab;
struct lab_options lab_options = {.stride = 1};
uint64_t *lab_count;
char lab_errors[65536];

/* Shared with the child. */
static struct shared {
    uint64_t count[64];
    const char *format; /* a literal: the same address on both sides of fork */
    uint64_t value[3];
} *shared;
static const struct lab_run *now;
static const void *runtime, *target;
static uint64_t elf_base;
static pid_t child_pid = -1; /* 0: we are the child */

static const void *map_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        fprintf(stderr, "defects: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *size = (size_t)st.st_size;
    close(fd);
    return data;
}

static const Elf64_Sym *find(const void *elf, const char *name)
{
    const Elf64_Ehdr *eh = elf;
    const Elf64_Shdr *sh = (const void *)((const char *)elf + eh->e_shoff);
    for (int i = 0; i < eh->e_shnum; i++) {
        if (sh[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *sym = (const void *)((const char *)elf + sh[i].sh_offset);
        const char *strings = (const char *)elf + sh[sh[i].sh_link].sh_offset;
        for (size_t k = 0; k < sh[i].sh_size / sizeof(*sym); k++)
            if (!strcmp(strings + sym[k].st_name, name))
                return &sym[k];
    }
    fprintf(stderr, "defects: no symbol %s\n", name);
    _exit(2);
}

static uint64_t symbol(const void *elf, const char *name)
{
    return find(elf, name)->st_value;
}

uint64_t lab_runtime_symbol(const char *name)
{
    return elf_base + symbol(runtime, name);
}

uint64_t lab_runtime_size(const char *name)
{
    return find(runtime, name)->st_size;
}

uint64_t lab_target_symbol(const char *name)
{
    return symbol(target, name);
}

/* ---- the child ---- */

static void die(const struct image_error *error)
{
    fprintf(stderr, "defects: %s\n", error->text);
    _exit(2);
}

/* Breakpoints in the program can only be set once the LibOS has loaded it. */
static void at_program_loaded(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    if (now->begin)
        lab_break(lab.pass_begin, now->begin);
    if (now->end)
        lab_break(lab.pass_end, now->end);
    if (now->ready)
        now->ready();
}

static void loaded(void *arg)
{
    (void)arg;
    lab.enclave = host_software_enclave();
    lab_break(lab_runtime_symbol("program_loaded"), at_program_loaded);
}

static void find_code(void)
{
    const Elf64_Ehdr *eh = runtime;
    const Elf64_Phdr *ph = (const void *)((const char *)runtime + eh->e_phoff);

    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && ph[i].p_flags & PF_X) {
            lab.text_low = elf_base + ph[i].p_vaddr;
            lab.text_high = lab.text_low + ph[i].p_memsz;
        }
    }
}

static void make_map(const struct image *image)
{
    elf_base = image->entry - symbol(runtime, "enclave_entry");
    lab.tcs0 = image->tcs0;
    lab.tcb0 = image->tcs0 - VIGIL_GS_TCS;
    lab.stride = image->thread_stride;
    lab.runtime_low = image->tcs0 - (uint64_t)VIGIL_TB_TCS * VIGIL_PAGE;
    /* Thread blocks are laid out downwards: the last one is the lowest. */
    for (uint32_t i = 0; i < image->config->max_threads; i++)
        if (image->tcs0 + i * image->thread_stride < lab.tcs0)
            lab.runtime_low = image->tcs0 + i * image->thread_stride - (uint64_t)VIGIL_TB_TCS * VIGIL_PAGE;
    lab.resume_begin = lab_runtime_symbol("resume_begin");
    lab.resume_end = lab_runtime_symbol("resume_end");
    lab.final_jump = lab_runtime_symbol("resume_final_jump");
    lab.stage1_entry = lab_runtime_symbol("stage1_entry");
    lab.stage1_done = lab_runtime_symbol("stage1_done");
    lab.ocall_raw = lab_runtime_symbol("ocall_raw");
    lab.ocall_return = lab_runtime_symbol("ocall_return");
    lab.thread_entry = lab_runtime_symbol("thread_entry");
    lab.thread_leave = lab_runtime_symbol("thread_leave");
    lab.gate = lab_runtime_symbol("syscall_gate");
    lab.pass_begin = lab_target_symbol("pass_begin");
    lab.pass_end = lab_target_symbol("pass_end");
    find_code();
}

static void child(size_t runtime_size)
{
    struct image_error error;
    struct vigil_config *config;
    struct image_key *key;
    struct image image;
    char *argv[] = {(char *)lab_options.target, (char *)now->path, NULL}, *envp[] = {NULL};
    struct host_options options = {.log_level = VIGIL_LOG_ERROR, .argc = 2, .argv = argv, .envp = envp,
                                   .loaded = loaded};

    if (manifest_default(lab_options.target, &config, &error))
        die(&error);
    config->enclave_size = 64u << 20;
    config->max_threads = 2;
    config->stack_size = 256u << 10;
    config->brk_max_size = 1u << 20;
    config->aex.step_threshold = 0; /* these tests step, and no detector shall say so in between */
    for (const char *const *p = now->policies; p && *p; p++)
        if (manifest_aex_policy(config, *p, &error))
            die(&error);
    if (now->policies)
        options.log_level = VIGIL_LOG_WARNING;
    if (now->flags & LAB_LEGACY)
        config->flags &= ~VIGIL_FLAG_AEX_NOTIFY;
    if (now->flags & LAB_NO_EXINFO)
        config->flags &= ~VIGIL_FLAG_EXINFO;
    if (image_build(&image, runtime, runtime_size, config, &error))
        die(&error);
    if (now->image)
        now->image(&image);
    if (image_key_open(NULL, &key, &error) || image_sign(&image, key, &error))
        die(&error);
    make_map(&image);
    if (now->tamper)
        now->tamper(&image);
    host_run(&image, &options, &error);
    fprintf(stderr, "vigil: %s\n", error.text);
    _exit(HOST_EXIT_REFUSED);
}

/* ---- the parent ---- */

static int temporary(void)
{
    int fd = memfd_create("defects", 0);
    if (fd < 0) {
        perror("defects: memfd_create");
        exit(2);
    }
    return fd;
}

int lab_run(const struct lab_run *run)
{
    size_t runtime_size, target_size;
    int status, log = temporary();

    if (!shared) {
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
            exit(2);
        lab_count = shared->count;
        runtime = map_file(lab_options.runtime, &runtime_size);
        target = map_file(lab_options.target, &target_size);
    }
    struct stat st;
    if (stat(lab_options.runtime, &st))
        exit(2);
    runtime_size = (size_t)st.st_size;
    memset(shared, 0, sizeof(*shared));
    now = run;
    fflush(NULL);
    child_pid = fork();
    if (child_pid == 0) {
        int null = open("/dev/null", O_RDWR);
        alarm(CHILD_SECONDS);
        dup2(null, 0);
        dup2(null, 1);
        dup2(log, 2);
        child(runtime_size);
    }
    if (child_pid < 0 || waitpid(child_pid, &status, 0) < 0) {
        perror("defects: fork");
        exit(2);
    }
    child_pid = -1;
    ssize_t n = pread(log, lab_errors, sizeof(lab_errors) - 1, 0);
    lab_errors[n < 0 ? 0 : n] = '\0';
    close(log);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2 && !shared->format) {
        fprintf(stderr, "%s", lab_errors);
        exit(2);
    }
    return status;
}

int lab_command(const char *const argv[], char *output, size_t size)
{
    int status, log = temporary();

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        dup2(log, 1);
        dup2(log, 2);
        execv(argv[0], (char *const *)argv);
        perror(argv[0]);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("defects: fork");
        exit(2);
    }
    ssize_t n = pread(log, output, size - 1, 0);
    output[n < 0 ? 0 : n] = '\0';
    close(log);
    return status;
}

int lab_check_status(const struct lab_run *run, int wait_status)
{
    int status = lab_run(run);

    if (shared->format)
        return 1;
    if (status != wait_status)
        return lab_fail("the run ended with wait status 0x%lx, not 0x%lx", (uint64_t)status, (uint64_t)wait_status, 0);
    return 0;
}

int lab_check(const struct lab_run *run)
{
    return lab_check_status(run, 0);
}

int lab_fail(const char *format, uint64_t a, uint64_t b, uint64_t c)
{
    if (!shared->format) {
        shared->value[0] = a, shared->value[1] = b, shared->value[2] = c;
        shared->format = format;
    }
    if (!child_pid)
        _exit(FAILED);
    return 1;
}

const char *lab_reason(void)
{
    static char text[512];

    if (!shared || !shared->format)
        return NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = snprintf(text, sizeof(text), shared->format, shared->value[0], shared->value[1], shared->value[2]);
#pragma GCC diagnostic pop
    /* The runtime and the host say themselves what they died of. */
    size_t end = strlen(lab_errors), from;
    while (end && lab_errors[end - 1] == '\n')
        end--;
    for (from = end; from && lab_errors[from - 1] != '\n'; from--)
        ;
    bool notice = strstr(lab_errors + from, "NOT protected");
    if (end > from && !notice && n > 0 && (size_t)n < sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n, " [%.*s]", (int)(end - from), lab_errors + from);
    for (char *p = text; *p; p++)
        *p = *p == '\n' ? ' ' : *p;
    return text;
}

void lab_forget(void)
{
    if (shared)
        shared->format = NULL;
    lab_errors[0] = '\0';
}
