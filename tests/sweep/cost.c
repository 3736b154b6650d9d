/* SPDX-License-Identifier: Apache-2.0
 *
 * How many enclave instructions an interruption, a trapped system call and a page fault cost, by single-stepping: from
 * the AEX to the application's next instruction, the host's part left out. An emulated ENCLU counts as one, the random delay is
 * the longest there is. Interruptions also by function. Exit status 1 if one costs more than its limit.
 *
 * usage: cost --runtime FILE [--interruptions] TARGET */
#include "tests/sweep/driver.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define ROUNDS 5
#define LONGEST 65536
struct result { uint64_t runtime, rounds, base, rip[LONGEST]; };
static struct result *result;
static bool with_aex;
static uint64_t in_runtime, in_application, round_number, rip[LONGEST];

/* with_aex: an AEX at the 5th instruction of the path; otherwise the path itself leaves the application. */
static enum softsgx_action step(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (!(sweep_flags(b) & SWEEP_IN_APPLICATION)) {
        if (in_runtime < LONGEST)
            rip[in_runtime] = b->rip;
        in_runtime++;
        return SOFTSGX_GO;
    }
    in_application++;
    return with_aex && in_application == 5 ? SOFTSGX_AEX : SOFTSGX_GO;
}

static void begin(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    in_runtime = in_application = 0;
    sweep_fresh(b);
    if (round_number > ROUNDS)
        b->uc->uc_mcontext.gregs[REG_RAX] = 1;
    else if (round_number)
        softsgx_step(step, NULL);
}

/* The first time, a code page's RET is looked for. */
static void end(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    softsgx_step(NULL, NULL);
    if (round_number && round_number <= ROUNDS && (!result->rounds++ || in_runtime < result->runtime)) {
        result->runtime = in_runtime;
        result->base = sweep_map.elf_base;
        memcpy(result->rip, rip, sizeof(rip));
    }
    round_number++;
}

/* ---- by function, in the order in which they are come to ---- */

static const struct { const char *from, *name; } sections[] = {
    {"enclave_entry", "entry"}, {"stage1_entry", "entry"}, {"stage1", "stage 1"}, {"roll_back", "roll back"},
    {"stage1_done", "XRSTOR, EDECCSSA"}, {"resume_block", "resume"}, {"resume_ready", "resume"}, {"resume_begin", "resume"},
    {"mitigation_prepare", "prepare"}, {"decode", "decode"}, {"ret_table_find", "RET byte"}, {"warm_loop", "warm loop"},
    {"probe_back", "warm loop"}, {"warm_end", "timing, delay"}, {"delay_end", "restore"}, {"resume_restore", "restore"},
    {"resume_final_jump", "restore"}, {"probe_ret", "warm loop"},
};

static const char *section_of(const void *elf, size_t size, uint64_t address)
{
    uint64_t offset;
    const char *symbol = address < result->base ? "probe_ret" : sweep_symbol_before(elf, size, address - result->base, &offset);

    for (size_t i = 0; symbol && i < sizeof(sections) / sizeof(sections[0]); i++)
        if (!strcmp(sections[i].from, symbol))
            return sections[i].name;
    return symbol ? symbol : "?";
}

static void print_sections(const char *runtime)
{
    struct { const char *name; unsigned count; } found[64];
    unsigned n = 0;
    struct stat st;
    int fd = open(runtime, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st))
        return;
    const void *elf = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    for (uint64_t i = 0; elf != MAP_FAILED && i < result->runtime && i < LONGEST; i++) {
        const char *name = section_of(elf, (size_t)st.st_size, result->rip[i]);
        unsigned k = 0;
        while (k < n && strcmp(found[k].name, name))
            k++;
        if (k == n && n < 64)
            found[n++].name = name, found[k].count = 0;
        if (k < 64)
            found[k].count++;
    }
    printf("  ");
    for (unsigned k = 0; k < n; k++)
        printf("%s%s %u", k ? ", " : "", found[k].name, found[k].count);
    printf("\n");
}

struct row { const char *what, *path, *policy; bool legacy, aex; uint64_t limit; };

static int measure(const struct row *r, const char *runtime, const char *target)
{
    memset(result, 0, sizeof(*result));
    with_aex = r->aex;
    int status = drive(&(struct drive){.runtime = runtime, .target = target, .path = r->path, .legacy = r->legacy,
                                       .policy = r->policy, .begin = begin, .end = end});
    if (!WIFEXITED(status) || WEXITSTATUS(status) || result->rounds != ROUNDS) {
        printf("%-44s FAILED (status 0x%x)\n", r->what, status);
        return 1;
    }
    printf("%-44s %-20s %8lu instructions", r->what, r->policy ? r->policy : r->legacy ? "AEX-Notify off" : "AEX-Notify on",
           result->runtime);
    if (r->limit)
        printf(", limit %lu: %s", r->limit, result->runtime > r->limit ? "FAILED" : "ok");
    printf("\n");
    if (r->aex && !r->legacy)
        print_sections(runtime);
    return r->limit && result->runtime > r->limit;
}

int main(int argc, char **argv)
{
    static const char aex[] = "AEX to the next application instruction", getppid[] = "system call by trap (getppid)",
                      lseek[] = "system call by trap, with OCALL (lseek)", fault[] = "page fault, handler, sigreturn";
    static const struct row rows[] = {
        {aex, "compute", "mitigation=prefetch", false, true, 1500}, {aex, "compute", "mitigation=count", false, true, 250},
        {aex, "compute", "mitigation=none", false, true, 250}, {aex, "compute", NULL, true, true, 0},
        {getppid, "syscall", NULL, false, false, 0}, {getppid, "syscall", NULL, true, false, 0},
        {lseek, "ocall", NULL, false, false, 0}, {lseek, "ocall", NULL, true, false, 0},
        {fault, "fault", NULL, false, false, 0}, {fault, "fault", NULL, true, false, 0}};
    static const struct option longs[] = {{"runtime", required_argument, NULL, 'r'}, {"interruptions", no_argument, NULL, 'i'}, {0}};
    const char *runtime = NULL;
    bool interruptions = false;
    int failed = 0;

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'r')
            runtime = optarg;
        else if (c == 'i')
            interruptions = true;
        else
            return 2;
    }
    char *target = optind + 1 == argc ? realpath(argv[optind], NULL) : NULL;
    if (!runtime || !target) {
        fprintf(stderr, "usage: cost --runtime FILE [--interruptions] TARGET\n");
        return 2;
    }
    result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        return 2;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!interruptions || rows[i].aex)
            failed += measure(&rows[i], runtime, target);
    return failed != 0;
}
