/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds of an operation, one line each: `NAME NS`. usage: micro [NAME...]; without a name all of them.
 *
 * Each operation runs in batches that are sized to take some milliseconds; the figure is the median of the batches. It
 * is an ordinary program: the caller compares it with itself in another place, and pins it to a CPU if that is what is
 * measured. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCHES  7
#define BATCH_NS 6000000ull
#define MAPPING  (64 * 1024)

static int zero_fd, file_fd, ready_fd, pipe_fd[2], epoll_fd, ping_fd, pong_fd;
static char file_name[4096];

static void fail(const char *what)
{
    fprintf(stderr, "micro: %s: %s\n", what, strerror(errno));
    exit(1);
}

static unsigned long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

static void expect(long got, long want, const char *what)
{
    if (got != want)
        fail(what);
}

/* ---- operations: each does its thing n times ---- */

static void op_getppid(unsigned long n)
{
    while (n--)
        getppid();
}

/* A syscall instruction of the program's own, as runtimes without a C library have them. */
static void op_bare(unsigned long n)
{
    while (n--) {
        long number = SYS_getppid;
        __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
    }
}

/* The same with the number right in front, as inlined by musl's headers, and in Go. */
static void op_numbered(unsigned long n)
{
    while (n--) {
        long result;
        __asm__ volatile("movl %1, %%eax\n\tsyscall" : "=&a"(result) : "i"(SYS_getppid) : "rcx", "r11", "memory");
    }
}

static void op_clock(unsigned long n)
{
    struct timespec t;
    while (n--)
        clock_gettime(CLOCK_MONOTONIC, &t);
}

static void op_read(unsigned long n)
{
    char byte;
    while (n--)
        expect(read(zero_fd, &byte, 1), 1, "read of /dev/zero");
}

static void op_open(unsigned long n)
{
    while (n--) {
        int fd = open(file_name, O_RDONLY);
        if (fd < 0 || close(fd))
            fail(file_name);
    }
}

static void op_pread(unsigned long n)
{
    static char page[4096];
    while (n--)
        expect(pread(file_fd, page, sizeof page, 4096), sizeof page, "pread");
}

static void op_poll(unsigned long n)
{
    struct pollfd ready = {.fd = ready_fd, .events = POLLIN};
    while (n--)
        expect(poll(&ready, 1, -1), 1, "poll");
}

static void op_epoll(unsigned long n)
{
    struct epoll_event event;
    while (n--)
        expect(epoll_wait(epoll_fd, &event, 1, -1), 1, "epoll_wait");
}

static void op_pipe(unsigned long n)
{
    char byte = 1;
    while (n--) {
        expect(write(pipe_fd[1], &byte, 1), 1, "write to a pipe");
        expect(read(pipe_fd[0], &byte, 1), 1, "read from a pipe");
    }
}

static void *nothing(void *argument)
{
    return argument;
}

static void op_thread(unsigned long n)
{
    while (n--) {
        pthread_t thread;
        errno = pthread_create(&thread, NULL, nothing, NULL);
        if (errno || (errno = pthread_join(thread, NULL)))
            fail("a thread");
    }
}

static void *answer(void *argument)
{
    for (unsigned long n = *(unsigned long *)argument; n--;) {
        unsigned long long one = 1;
        expect(read(ping_fd, &one, sizeof one), sizeof one, "read of an eventfd");
        one = 1;
        expect(write(pong_fd, &one, sizeof one), sizeof one, "write of an eventfd");
    }
    return NULL;
}

/* A round trip: two threads wake each other and wait. */
static void op_eventfd(unsigned long n)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, answer, &n);
    if (errno)
        fail("a thread");
    for (unsigned long i = 0; i < n; i++) {
        unsigned long long one = 1;
        expect(write(ping_fd, &one, sizeof one), sizeof one, "write of an eventfd");
        expect(read(pong_fd, &one, sizeof one), sizeof one, "read of an eventfd");
    }
    pthread_join(thread, NULL);
}

static void op_mmap(unsigned long n)
{
    while (n--) {
        char *memory = mmap(NULL, MAPPING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            fail("mmap");
        for (size_t i = 0; i < MAPPING; i += 4096)
            ((volatile char *)memory)[i] = 1;
        if (munmap(memory, MAPPING))
            fail("munmap");
    }
}

static const struct operation {
    const char *name;
    void (*run)(unsigned long n);
} operations[] = {
    {"getppid", op_getppid}, {"syscall", op_bare}, {"numbered", op_numbered}, {"clock_gettime", op_clock},
    {"read", op_read},       {"open", op_open},    {"pread", op_pread},       {"poll", op_poll},
    {"epoll", op_epoll},     {"pipe", op_pipe},    {"thread", op_thread},     {"eventfd", op_eventfd},
    {"mmap", op_mmap},
};

static void prepare(void)
{
    static char content[16384];
    const char *directory = getenv("TMPDIR");
    snprintf(file_name, sizeof file_name, "%s/vigil-micro-XXXXXX", directory ? directory : "/tmp");
    file_fd = mkstemp(file_name);
    if (file_fd < 0 || write(file_fd, content, sizeof content) != sizeof content)
        fail(file_name);
    zero_fd = open("/dev/zero", O_RDONLY);
    if (zero_fd < 0)
        fail("/dev/zero");
    int ready[2];
    if (pipe(ready) || pipe(pipe_fd) || write(ready[1], "x", 1) != 1)
        fail("pipe");
    ready_fd = ready[0];
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ready_fd, &event))
        fail("epoll");
    ping_fd = eventfd(0, 0), pong_fd = eventfd(0, 0);
    if (ping_fd < 0 || pong_fd < 0)
        fail("eventfd");
}

static unsigned long long timed(const struct operation *operation, unsigned long n)
{
    unsigned long long begin = now();
    operation->run(n);
    return now() - begin;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct operation *operation)
{
    unsigned long n = 1;
    for (unsigned long long ns; (ns = timed(operation, n)) < BATCH_NS;)
        n = ns < BATCH_NS / 16 ? n * 8 : (unsigned long)((double)n * BATCH_NS / (double)ns) + n / 8 + 1;
    double per[BATCHES];
    for (int i = 0; i < BATCHES; i++)
        per[i] = (double)timed(operation, n) / (double)n;
    qsort(per, BATCHES, sizeof *per, compare);
    printf("%s %.1f\n", operation->name, per[BATCHES / 2]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    prepare();
    size_t count = sizeof operations / sizeof *operations;
    for (size_t i = 0; i < count; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= !strcmp(argv[k], operations[i].name);
        if (wanted)
            measure(&operations[i]);
    }
    unlink(file_name);
    return 0;
}
