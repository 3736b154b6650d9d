/* SPDX-License-Identifier: Apache-2.0
 *
 * The boundary sweep: runs one path of the target program over and over, with an AEX in front of instruction k of it,
 * for every k, and optionally a host signal that arrives at the same moment. The target compares what it sees with the
 * undisturbed pass; this driver checks the armed invariant at each boundary:
 *
 *     CSSA=0:  SSA[0].GPRSGX.AEXNOTIFY is 1  <=>  RIP is in the application, in the restartable resume behind its
 *              arming instruction, or in front of the first instruction of the system call gate.
 *     SSA[1].GPRSGX.AEXNOTIFY is 0 always.
 *
 * Iterations of one REP instruction count as one boundary, taken at the first, second and last of them.
 *
 * usage: sweep [--legacy] [--signal] [--stride N] [--runtime FILE] TARGET PATH */
#include "host/internal.h"
#include "image/manifest.h"
#include "softsgx/softsgx.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define MAX_BOUNDARIES (1u << 22)

/* Shared with the parent, which reports: the child's process belongs to the target. */
struct result {
    uint64_t instructions;         /* of one pass, REP iterations included */
    uint64_t boundaries;           /* chosen */
    uint64_t injected;
    uint64_t invariant_checks, invariant_failures, bad_rip, bad_armed, bad_cssa, bad_k;
    uint64_t in_runtime, in_resume, in_application, in_stage1;
    uint64_t finished;
};
static struct result *result;

static struct {
    bool legacy, with_signal;
    uint64_t stride;
    const char *runtime, *target, *path;
} opt = {.stride = 1};

static uint64_t sweep_begin, sweep_end;                          /* in the target */
static uint64_t resume_begin_at, resume_end_at, gate_at;         /* in the runtime */
static uint64_t runtime_low, tcs0;
static struct softsgx_enclave *enclave;

/* The boundaries of the undisturbed pass that are worth an AEX, found by stepping once. */
static uint32_t *chosen;
static uint64_t chosen_count, next_chosen;
static enum { UNDISTURBED, DISCOVER, INJECT, FINISH } phase;
static uint64_t steps, last_rip, rep_run;
static bool injected_this_pass;

static uint8_t read_byte(uint64_t address)
{
    uint8_t value = 0xff;
    softsgx_debug_read(enclave, address, &value, 1);
    return value;
}

static void check_invariant(const struct softsgx_boundary *b)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS;
    uint8_t armed = read_byte(tcb + VIGIL_GS_ARMED), second = read_byte(tcb + VIGIL_GS_GPR1 + 167);
    bool application = b->rip < runtime_low;
    bool resume = b->rip > resume_begin_at && b->rip < resume_end_at;
    bool expected = application || resume || b->rip == gate_at;

    if (b->cssa == 0)
        result->in_application += application, result->in_resume += resume, result->in_runtime += !expected;
    else
        result->in_stage1++;
    result->invariant_checks++;
    /* At the arming instruction itself the bit is still 0 on the way from the runtime, and already 1 from stage 1. */
    if (second == 0 && (b->cssa != 0 || b->rip == resume_begin_at || armed == expected))
        return;
    if (!result->invariant_failures++) {
        result->bad_rip = b->rip;
        result->bad_armed = armed | second << 8;
        result->bad_cssa = b->cssa;
        result->bad_k = steps;
    }
}

/* Remembers where AEXs are worth it: every instruction; of a repeated string instruction the first, second and last
 * iteration (the last is chosen when the run ends). */
static void discover(uint64_t rip)
{
    if (rip == last_rip) {
        rep_run++;
        if (rep_run != 1)
            return;
    } else if (rep_run > 1 && chosen_count < MAX_BOUNDARIES) {
        chosen[chosen_count++] = (uint32_t)(steps - 1);
    }
    if (rip != last_rip)
        rep_run = 0;
    last_rip = rip;
    if (chosen_count < MAX_BOUNDARIES)
        chosen[chosen_count++] = (uint32_t)steps;
}

static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (phase == DISCOVER) {
        check_invariant(b);
        discover(b->rip);
        steps++;
        return SOFTSGX_GO;
    }
    if (steps++ != chosen[next_chosen])
        return SOFTSGX_GO;
    check_invariant(b);
    injected_this_pass = true;
    result->injected++;
    if (opt.with_signal)
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR1);
    return SOFTSGX_AEX_RUN;
}

static void at_begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    steps = last_rip = rep_run = 0;
    injected_this_pass = false;
    if (phase == FINISH)
        b->uc->uc_mcontext.gregs[REG_RAX] = 1;
    else if (phase != UNDISTURBED)
        softsgx_step(step, NULL);
}

static void at_end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (phase == UNDISTURBED) {
        phase = DISCOVER;
    } else if (phase == DISCOVER) {
        result->instructions = steps;
        result->boundaries = (chosen_count + opt.stride - 1) / opt.stride;
        phase = chosen_count ? INJECT : FINISH;
        next_chosen = 0;
    } else if (phase == INJECT) {
        next_chosen += opt.stride;
        if (next_chosen >= chosen_count)
            phase = FINISH;
    } else {
        result->finished = 1;
    }
}

static void loaded(void *arg)
{
    (void)arg;
    enclave = host_software_enclave();
}

/* ---- ELF symbols ------------------------------------------------------------------------------------------------- */

static void *map_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        fprintf(stderr, "sweep: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *size = (size_t)st.st_size;
    close(fd);
    return data;
}

static uint64_t symbol(const void *elf, const char *name)
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
                return sym[k].st_value;
    }
    fprintf(stderr, "sweep: no symbol %s\n", name);
    exit(2);
}

/* ---- running -------------------------------------------------------------------------------------------------------- */

static void die(const struct image_error *error)
{
    fprintf(stderr, "sweep: %s\n", error->text);
    exit(2);
}

/* Breakpoints can only be set once the LibOS has loaded the program: the first interrupt-free moment we control is a
 * boundary in the program itself, so the driver steps nothing until RIP has left the runtime for the first time. */
static enum softsgx_action find_program(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->rip >= runtime_low || b->cssa)
        return SOFTSGX_GO;
    if (softsgx_break(enclave, sweep_begin, at_begin, NULL) || softsgx_break(enclave, sweep_end, at_end, NULL))
        _exit(5);
    return SOFTSGX_RUN;
}

static void child(void)
{
    struct image_error error;
    struct vigil_config *config;
    struct image_key *key;
    struct image image;
    size_t runtime_size, target_size;
    void *runtime = map_file(opt.runtime, &runtime_size), *target = map_file(opt.target, &target_size);
    char *argv[] = {(char *)opt.target, (char *)opt.path, NULL}, *envp[] = {NULL};
    struct host_options options = {.log_level = VIGIL_LOG_WARNING, .argc = 2, .argv = argv, .envp = envp, .loaded = loaded};

    if (manifest_default(opt.target, &config, &error))
        die(&error);
    config->enclave_size = 64u << 20;
    config->max_threads = 2;
    if (opt.legacy)
        config->flags &= ~VIGIL_FLAG_AEX_NOTIFY;
    if (image_build(&image, runtime, runtime_size, config, &error) || image_key_open(NULL, &key, &error) ||
        image_sign(&image, key, &error))
        die(&error);
    uint64_t elf_base = image.entry - symbol(runtime, "enclave_entry");
    sweep_begin = symbol(target, "sweep_begin");
    sweep_end = symbol(target, "sweep_end");
    resume_begin_at = elf_base + symbol(runtime, "resume_begin");
    resume_end_at = elf_base + symbol(runtime, "resume_end");
    gate_at = elf_base + symbol(runtime, "syscall_gate");
    tcs0 = image.tcs0;
    runtime_low = tcs0 - (uint64_t)VIGIL_TB_TCS * VIGIL_PAGE;
    chosen = mmap(NULL, MAX_BOUNDARIES * sizeof(*chosen), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    options.step = find_program;
    if (host_run(&image, &options, &error))
        die(&error);
}

static int report(int status)
{
    printf("sweep %s%s%s: %lu instructions, %lu boundaries, AEX at %lu, armed invariant checked %lu times "
           "(application %lu, resume %lu, runtime %lu, stage 1 %lu): ",
           opt.path, opt.legacy ? ", legacy" : ", AEX-Notify", opt.with_signal ? ", with a host signal" : "",
           result->instructions, result->boundaries, result->injected, result->invariant_checks, result->in_application,
           result->in_resume, result->in_runtime, result->in_stage1);
    if (result->invariant_failures) {
        printf("FAILED: armed invariant broken %lu times, first at step %lu, rip 0x%lx, cssa %lu, bits 0x%lx\n",
               result->invariant_failures, result->bad_k, result->bad_rip, result->bad_cssa, result->bad_armed);
        return 1;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("FAILED: the target ended with status 0x%x at boundary %lu\n", status, result->injected);
        return 1;
    }
    if (!result->finished || !result->boundaries || result->injected != result->boundaries) {
        printf("FAILED: %lu boundaries were not reached\n", result->boundaries - result->injected);
        return 1;
    }
    printf("100 %% equal\n");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"legacy", no_argument, NULL, 'l'}, {"signal", no_argument, NULL, 's'},
                                          {"stride", required_argument, NULL, 'n'},
                                          {"runtime", required_argument, NULL, 'r'}, {0}};
    int c, status;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'l')
            opt.legacy = true;
        else if (c == 's')
            opt.with_signal = true;
        else if (c == 'n')
            opt.stride = strtoul(optarg, NULL, 0);
        else if (c == 'r')
            opt.runtime = optarg;
        else
            return 2;
    }
    if (argc - optind != 2 || !opt.runtime || !opt.stride) {
        fprintf(stderr, "usage: sweep [--legacy] [--signal] [--stride N] --runtime FILE TARGET PATH\n");
        return 2;
    }
    opt.target = realpath(argv[optind], NULL);
    opt.path = argv[optind + 1];
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(2);
        child();
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 2;
    return report(status);
}
