/* SPDX-License-Identifier: Apache-2.0
 *
 * See program.h. */
#include "sweep/program.h"
#include "host/debugger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define SLICE 100 /* milliseconds */

/* Shared between the child, whose process belongs to the program, and us. */
struct shared { bool entered; uint64_t bias; struct sweep_outcome outcome; };

static struct {
    const struct sweep_program *program;
    enum sweep_mode mode;
    const struct sweep_shot *shot;
    struct sweep_trace *trace;
    struct shared *shared;
    uint64_t bias, end, rsp;
} now; /* the child's */

static void give_up(const char *what, int error)
{
    dprintf(STDERR_FILENO, "vigil: sweep: %s: %s\n", what, strerror(error));
    _exit(HOST_EXIT_REFUSED);
}

static bool is_end(const struct softsgx_boundary *b)
{
    if (now.program->region.all || b->tcs != sweep_map.tcs || b->rip != now.end)
        return false;
    return !now.program->region.to_return || b->rsp > now.rsp;
}

static enum softsgx_action discover(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (is_end(b) || now.trace->count >= now.trace->capacity)
        return SOFTSGX_RUN;
    sweep_trace_add(now.trace, b);
    return SOFTSGX_GO;
}

static void begin(const struct softsgx_boundary *b, bool at_boundary)
{
    now.shared->entered = true;
    sweep_fresh(b);
    now.rsp = b->rsp;
    now.end = now.bias + now.program->region.to;
    if (now.program->region.to_return)
        softsgx_debug_read(b->enclave, b->rsp, &now.end, sizeof(now.end));
    if (now.mode == SWEEP_DISCOVER) {
        if (at_boundary)
            sweep_trace_add(now.trace, b);
        softsgx_step(discover, NULL);
    } else if (now.mode != SWEEP_UNDISTURBED) {
        sweep_arm(now.shot, &now.shared->outcome, now.mode == SWEEP_RECORD ? now.trace : NULL);
    }
}

static enum softsgx_action at_region(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    if (b->tcs != sweep_map.tcs)
        return SOFTSGX_GO;
    begin(b, true);
    return SOFTSGX_RUN;
}

static void at_program_loaded(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    now.shared->bias = now.bias = vigil_debug.object_count ? vigil_debug.objects[0].bias : 0;
    if (now.program->region.all) {
        begin(b, false);
        return;
    }
    int status = softsgx_break_at(b->enclave, now.bias + now.program->region.from, at_region, NULL);
    if (status)
        give_up("no breakpoint at the region's beginning", -status);
}

static void loaded(void *arg)
{
    (void)arg;
    sweep_map.enclave = host_software_enclave();
    if (!sweep_map.enclave)
        give_up("this needs the software SGX", ENODEV);
    int status = softsgx_break(sweep_map.enclave, sweep_map.loaded, at_program_loaded, NULL);
    if (status)
        give_up("no breakpoint in the runtime", -status);
}

static void child(int output)
{
    const struct sweep_program *p = now.program;
    struct host_options options = {.log_level = p->show ? -1 : VIGIL_LOG_ERROR, .argc = p->argc, .argv = p->argv,
                                   .envp = p->envp, .loaded = loaded};
    struct image_error error;
    char name[32];
    int input = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the limit is the parent's to keep */
    if (p->input >= 0) {
        snprintf(name, sizeof(name), "/proc/self/fd/%d", p->input);
        input = open(name, O_RDONLY | O_CLOEXEC);
    }
    dup2(input >= 0 ? input : null, STDIN_FILENO);
    if (!p->show) {
        dup2(output, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    host_run(p->image, &options, &error);
    dprintf(STDERR_FILENO, "vigil: %s\n", error.text);
    _exit(HOST_EXIT_REFUSED);
}

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t size_of_output(const struct sweep_end *end)
{
    struct stat st;

    return end->output >= 0 && !fstat(end->output, &st) ? (uint64_t)st.st_size : 0;
}

/* Waits until the child has ended. Kills it if that takes too long, if it prints too much, or if a signal comes. */
static int wait_for(pid_t pid, unsigned limit, struct sweep_end *end)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), error = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = (int64_t)limit * 1000;
    int n = fd < 0 ? -1 : 0;

    /* In slices: of the time that we are stopped, and the child with us, hardly anything counts. */
    while (fd >= 0 && n == 0 && left > 0 && size_of_output(end) <= SWEEP_KEPT) {
        int64_t begin = milliseconds();
        n = poll(&p, 1, SLICE);
        int64_t passed = milliseconds() - begin;
        left -= passed < 2 * SLICE ? passed : 2 * SLICE;
    }
    if (n <= 0) {
        error = n < 0 ? errno : 0;
        end->timed_out = n == 0 && left <= 0;
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &end->status, 0) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        close(fd);
    errno = error;
    return error ? -1 : 0;
}

int sweep_run(const struct sweep_program *program, enum sweep_mode mode, const struct sweep_shot *shot,
              struct sweep_trace *trace, struct sweep_end *end)
{
    static struct shared *shared;

    if (!shared) {
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED) {
            shared = NULL;
            return -1;
        }
    }
    memset(shared, 0, sizeof(*shared));
    *end = (struct sweep_end){.output = -1};
    if (!program->show && (end->output = memfd_create("output", MFD_CLOEXEC)) < 0)
        return -1;
    now.program = program;
    now.mode = mode;
    now.shot = shot;
    now.trace = trace;
    now.shared = shared;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(end->output);
    int failed = pid < 0 ? -1 : wait_for(pid, program->limit, end), error = errno;
    end->entered = shared->entered;
    end->bias = shared->bias;
    end->outcome = shared->outcome;
    end->output_size = size_of_output(end);
    end->too_much = end->output_size > SWEEP_KEPT;
    if (failed && end->output >= 0) {
        close(end->output);
        end->output = -1;
    }
    errno = error;
    return failed;
}

bool sweep_same(const struct sweep_end *a, const struct sweep_end *b)
{
    if (a->status != b->status || a->timed_out || b->timed_out || a->output_size != b->output_size)
        return false;
    if (!a->output_size)
        return true;
    void *pa = mmap(NULL, a->output_size, PROT_READ, MAP_SHARED, a->output, 0);
    void *pb = mmap(NULL, b->output_size, PROT_READ, MAP_SHARED, b->output, 0);
    bool same = pa != MAP_FAILED && pb != MAP_FAILED && !memcmp(pa, pb, a->output_size);
    if (pa != MAP_FAILED)
        munmap(pa, a->output_size);
    if (pb != MAP_FAILED)
        munmap(pb, b->output_size);
    return same;
}
