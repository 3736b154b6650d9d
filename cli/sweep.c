/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil sweep: the boundary sweep for anybody's program. */
#include "cli/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONGEST (1u << 24)       /* instructions of a region */
#define LONGEST_HANDLER (1u << 18)
#define SECONDS 60               /* about as long it takes if --stride says nothing */
#define TRIES 3
#define SAMPLE 256
/* What getting to a place costs (sweep/trace.c weighs with the same). */
#define ARRIVAL_SECONDS 14e-6
#define STEP_SECONDS 12e-6

extern char **environ;

static struct sweep_options opt = {.depth = 1, .limit = SWEEP_LIMIT, .signal = {SIGURG, SIGCHLD},
                                   .run = {.aex_notify = -1, .edmm = -1, .symbols = true, .host = {.log_level = -1}}};
static struct sweep_report report = {.options = &opt};
static struct sweep_program program;
static struct sweep_end plain;           /* the undisturbed run */
static double plain_seconds;
static struct sweep_trace *trace, *handler;
static struct sweep_plan plan, handler_plan;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds that it takes to get to a shot's places: arrivals at breakpoints and steps. */
static double landing_seconds(const struct sweep_shot *shot)
{
    double seconds = 0;

    for (unsigned i = 0; i < shot->points; i++)
        seconds += shot->at[i].arrival * ARRIVAL_SECONDS + shot->at[i].steps * STEP_SECONDS;
    return seconds;
}

/* Runs it. Returns -1 to go on, else the exit status. */
static int run(enum sweep_mode mode, const struct sweep_shot *shot, struct sweep_trace *into, struct sweep_end *end)
{
    unsigned limit = program.limit;
    int failed = 0;

    if (shot)
        program.limit += (unsigned)(landing_seconds(shot) * 3);
    if (!interrupted)
        failed = sweep_run(&program, mode, shot, into, end);
    program.limit = limit;
    if (!interrupted && !failed)
        return -1;
    if (interrupted || errno == EINTR) {
        report.tally.interrupted = true;
        return EXIT_INTERRUPTED;
    }
    return complain(EXIT_BAD_INPUT, "sweep: cannot run the program: %s", strerror(errno));
}

/* What was wrong with a run; NULL if nothing. */
static const char *judge(const struct sweep_end *end)
{
    if (end->timed_out)
        return "it did not end";
    if (end->too_much)
        return "it printed without end";
    if (end->outcome.broken)
        return "the armed invariant was broken: a bug of the runtime";
    if (end->status != plain.status)
        return WIFEXITED(end->status) && WEXITSTATUS(end->status) == HOST_EXIT_REFUSED ? "the enclave stopped itself"
                                                                                       : "another exit status";
    return sweep_same(end, &plain) ? NULL : "another output";
}

/* ---- before the sweep ---- */

static int keep_input(void)
{
    char buffer[65536];
    uint64_t kept = 0;
    ssize_t n;

    program.input = -1;
    if (isatty(STDIN_FILENO))
        return 0;
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0)
        return complain(EXIT_BAD_INPUT, "sweep: cannot keep the standard input: %s", strerror(errno));
    while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0) {
        if ((kept += (uint64_t)n) > SWEEP_KEPT)
            return complain(EXIT_BAD_INPUT, "sweep: the standard input has more than %u MB, too much to be kept for every run; give "
                            "less, or </dev/null if the program reads none", SWEEP_KEPT >> 20);
        if (write(fd, buffer, (size_t)n) != n)
            return complain(EXIT_BAD_INPUT, "sweep: cannot keep the standard input: %s", strerror(errno));
    }
    program.input = fd;
    return 0;
}

/* Twice undisturbed. */
static int look_at_program(const char *name)
{
    struct sweep_end second;
    double begin = clock_now();
    int status = run(SWEEP_UNDISTURBED, NULL, NULL, &plain);

    plain_seconds = clock_now() - begin;
    if (status >= 0)
        return status;
    if (plain.timed_out)
        return complain(EXIT_BAD_INPUT, "%s: did not end within %u seconds", name, program.limit);
    if (plain.too_much)
        return complain(EXIT_BAD_INPUT, "%s: prints more than %u MB, too much to be kept and compared with every run; let it print "
                        "less, or into a file", name, SWEEP_KEPT >> 20);
    if (WIFEXITED(plain.status) && WEXITSTATUS(plain.status) == HOST_EXIT_REFUSED)
        return complain(EXIT_NO_SGX, "%s: does not run undisturbed; `vigil run -- %s` says why", name, name);
    if (!plain.entered)
        return complain(EXIT_BAD_INPUT, "%s: the region was never reached; --region names another, --all takes everything", name);
    program.limit = opt.limit + (unsigned)(plain_seconds * 20);
    report.bias = plain.bias;
    if ((status = run(SWEEP_UNDISTURBED, NULL, NULL, &second)) >= 0)
        return status;
    bool same = sweep_same(&plain, &second);
    close(second.output);
    if (!same)
        return complain(EXIT_BAD_INPUT, "%s: two undisturbed runs differ in output or exit status (time, process numbers, "
                        "random numbers?); a sweep cannot tell such a difference from a bug", name);
    return 0;
}

static int discover(const char *name)
{
    struct sweep_end end;
    unsigned limit = program.limit;

    program.limit = 3600;
    int status = run(SWEEP_DISCOVER, NULL, trace, &end);
    program.limit = limit;
    if (status >= 0)
        return status;
    const char *what = judge(&end);
    close(end.output);
    if (what || trace->broken)
        sweep_note_failure(&report, &(struct sweep_shot){0}, trace->broken ? "the armed invariant was broken while stepping"
                                                                            : "it differs when it is single-stepped");
    if (trace->count >= trace->capacity)
        return complain(EXIT_BAD_INPUT, "%s: the region has more than %u million instructions; --region names a smaller one", name,
                        LONGEST >> 20);
    sweep_plan_make(&plan, trace);
    report.tally.boundaries = trace->count;
    report.tally.chosen = plan.chosen_count;
    return 0;
}

/* ---- the sweep ---- */

static uint64_t next_applicable(const struct sweep_plan *p, const struct sweep_trace *t, uint64_t from, enum sweep_inject inject)
{
    while (from < p->chosen_count && !sweep_applies(inject, t->step[p->chosen[from]].flags))
        from++;
    return from;
}

static uint64_t count_applicable(const struct sweep_plan *p, const struct sweep_trace *t, enum sweep_inject inject)
{
    uint64_t n = 0;

    for (uint64_t i = next_applicable(p, t, 0, inject); i < p->chosen_count; i = next_applicable(p, t, i + 1, inject))
        n++;
    return n;
}

static void aim(struct sweep_shot *shot, unsigned point, const struct sweep_plan *p, const struct sweep_trace *t, uint64_t position)
{
    sweep_land(p, t, p->chosen[position], &shot->at[point]);
    shot->inject[point] = opt.inject[point];
    shot->points = point + 1;
}

/* One shot, again if it did not come to its boundary: a host's own signals and the clock make runs differ a little. */
static int shoot(enum sweep_mode mode, const struct sweep_shot *shot)
{
    struct sweep_end end;

    for (unsigned try = 0;; try++) {
        if (mode == SWEEP_RECORD)
            sweep_trace_clear(handler);
        int status = run(mode, shot, handler, &end);
        if (status >= 0)
            return status;
        const char *what = judge(&end);
        close(end.output);
        if (!what && end.outcome.injected < shot->points && try + 1 < TRIES)
            continue;
        report.tally.runs++;
        report.tally.unreached += !what && end.outcome.injected < shot->points;
        report.tally.pointless += end.outcome.pointless;
        if (what)
            sweep_note_failure(&report, shot, what);
        sweep_progress(&report);
        return -1;
    }
}

static int sweep_pairs(struct sweep_shot *shot, uint64_t k)
{
    sweep_plan_make(&handler_plan, handler);
    uint64_t stride = opt.stride[1], n = count_applicable(&handler_plan, handler, opt.inject[1]);
    if (!stride) {
        /* As many second points as there are first ones. */
        uint64_t firsts = count_applicable(&plan, trace, opt.inject[0]) / opt.stride[0] + 1;
        stride = n / (report.tally.planned / firsts + 1) + 1;
    }
    uint64_t start = k % stride, seen = 0;
    for (uint64_t j = next_applicable(&handler_plan, handler, 0, opt.inject[1]); j < handler_plan.chosen_count;
         j = next_applicable(&handler_plan, handler, j + 1, opt.inject[1])) {
        if (seen++ % stride != start)
            continue;
        aim(shot, 1, &handler_plan, handler, j);
        int status = shoot(SWEEP_SHOOT, shot);
        if (status >= 0)
            return status;
        report.tally.pairs++;
    }
    return -1;
}

/* What landing takes on average, from a sample of the places. */
static double mean_landing_seconds(void)
{
    uint64_t stride = plan.chosen_count / SAMPLE + 1, n = 0;
    double seconds = 0;

    for (uint64_t i = 0; i < plan.chosen_count; i += stride, n++) {
        struct sweep_shot shot;
        aim(&shot, 0, &plan, trace, i);
        seconds += landing_seconds(&shot);
    }
    return n ? seconds / (double)n : 0;
}

static void choose_strides(void)
{
    double each = plain_seconds + 0.005 + mean_landing_seconds();
    uint64_t n = count_applicable(&plan, trace, opt.inject[0]), runs = (uint64_t)(SECONDS / each) + 1;
    bool automatic = !opt.stride[0];

    if (opt.depth == 2) {
        uint64_t root = 1;
        while (root * root < runs)
            root++;
        if (automatic)
            opt.stride[0] = n / root + 1;
        report.tally.planned = opt.stride[1] ? 0 : runs;
    } else {
        if (automatic)
            opt.stride[0] = n / runs + 1;
        report.tally.planned = (n + opt.stride[0] - 1) / opt.stride[0];
    }
    if (automatic && opt.stride[0] > 1 && !opt.json)
        printf("every %lu%s boundary, so that it takes about a minute; --stride 1 takes all %lu\n", opt.stride[0],
               opt.stride[0] == 2 ? "nd" : opt.stride[0] == 3 ? "rd" : "th", n);
}

static int sweep_all(void)
{
    uint64_t seen = 0, k = 0;

    choose_strides();
    for (k = next_applicable(&plan, trace, 0, opt.inject[0]); k < plan.chosen_count;
         k = next_applicable(&plan, trace, k + 1, opt.inject[0])) {
        struct sweep_shot shot;
        if (seen++ % opt.stride[0])
            continue;
        aim(&shot, 0, &plan, trace, k);
        int status = shoot(opt.depth == 2 ? SWEEP_RECORD : SWEEP_SHOOT, &shot);
        if (status < 0 && opt.depth == 2)
            status = sweep_pairs(&shot, k);
        if (status >= 0)
            return status;
    }
    return -1;
}

static int replay(void)
{
    struct sweep_shot shot;
    struct sweep_end end;

    if (!sweep_shot_parse(opt.replay, &shot))
        return complain(EXIT_USAGE, "--replay wants a schedule as a failure's report shows it, not %s", opt.replay);
    int status = run(SWEEP_SHOOT, &shot, NULL, &end);
    if (status >= 0)
        return status;
    const char *what = judge(&end);
    close(end.output);
    program.show = true;
    if ((status = run(SWEEP_SHOOT, &shot, NULL, &end)) >= 0)
        return status;
    if (end.outcome.injected < shot.points)
        fprintf(stderr, "vigil: sweep: only %u of %u events took place\n", end.outcome.injected, shot.points);
    fprintf(stderr, "vigil: sweep: %s\n", what ? what : "like the undisturbed run");
    return what ? EXIT_DIFFERENT : 0;
}

int command_sweep(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = on_interrupt};
    struct image_error error;
    struct image image;
    char path[PATH_MAX];

    int status = sweep_parse(argc, argv, &opt);
    if (status >= 0)
        return status;
    report.argv = program.argv = argv + optind;
    report.argc = program.argc = argc - optind;
    program.envp = environ;
    program.limit = 600;
    report.image = program.image = &image;
    if (!opt.run.enclave_size)
        opt.run.enclave_size = "128M";
    if ((status = find_program(argv[optind], path)) || (status = sweep_find_region(&opt, path, &report.elf, &program.region)) ||
        (status = image_of_program(&opt.run, argv[optind], &image)))
        return status;
    sweep_map.signal[0] = opt.signal[0], sweep_map.signal[1] = opt.signal[1];
    if (sweep_locate(&image, &error))
        return complain(EXIT_BAD_INPUT, "%s", error.text);
    trace = sweep_trace_new(LONGEST);
    handler = sweep_trace_new(LONGEST_HANDLER);
    if (!trace || !handler || sweep_plan_init(&plan, LONGEST) || sweep_plan_init(&handler_plan, LONGEST_HANDLER))
        return complain(EXIT_BAD_INPUT, "sweep: out of memory");
    if ((status = keep_input()))
        return status;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit statuses away */
    status = look_at_program(argv[optind]);
    if (!status && opt.replay)
        return replay();
    if (!status)
        status = discover(argv[optind]);
    if (!status)
        status = sweep_all();
    return status >= 0 && !report.tally.interrupted ? status : sweep_summary(&report);
}
