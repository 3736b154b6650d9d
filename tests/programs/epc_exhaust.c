/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens when there is no memory left, and that the program can go on: epc_exhaust HOW AMOUNT LATER. LATER megabytes
 * must be there afterwards, when what was got has been given back. HOW is populate (which is a try), advise (MADV_POPULATE_WRITE),
 * mlock, lazy, die (lazy, with no handler) or threads (AMOUNT threads when but 2 MB are left). Where there is enough memory, it
 * says so. */
#include "check.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096ul
#define RW    (PROT_READ | PROT_WRITE)
#define PLAIN (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static char *map(size_t size, int flags)
{
    return mmap(NULL, size, RW, PLAIN | flags, -1, 0);
}

static const char *name_of(int error)
{
    return error == ENOMEM ? "ENOMEM" : error == EAGAIN ? "EAGAIN" : strerror(error);
}

/* Everything that failed has been undone. */
static void use(size_t size)
{
    char *p = map(size, 0);
    REQUIRE(p != MAP_FAILED);
    for (size_t i = 0; i < size; i += PAGE) {
        CHECK_EQ(p[i], 0);
        p[i] = 1;
    }
    REQUIRE(munmap(p, size) == 0);
    p = map(size, MAP_POPULATE);
    CHECK(p != MAP_FAILED);
    REQUIRE(munmap(p, size) == 0);
}

static void populate(size_t size)
{
    for (int i = 0; i < 5; i++) {
        char *p = map(size, MAP_POPULATE);
        REQUIRE(p != MAP_FAILED); /* as many as there were */
        p[0] = 1;
        REQUIRE(munmap(p, size) == 0);
    }
    printf("populate: done\n");
}

static void advise(size_t size)
{
    for (int i = 0; i < 5; i++) {
        char *p = map(size, 0);
        REQUIRE(p != MAP_FAILED);
        int result = madvise(p, size, MADV_POPULATE_WRITE);
        if (i == 4)
            printf("advise: %s\n", result ? name_of(errno) : "all of it");
        REQUIRE(munmap(p, size) == 0);
    }
}

static void lock_pages(size_t size)
{
    for (int i = 0; i < 5; i++) {
        char *p = map(size, 0);
        REQUIRE(p != MAP_FAILED);
        p[5 * PAGE] = 1; /* stays */
        int result = mlock(p, size);
        if (i == 4)
            printf("mlock: %s\n", result ? name_of(errno) : "all of it");
        CHECK(p[5 * PAGE] == 1 && p[0] == 0);
        REQUIRE(munmap(p, size) == 0);
    }
}

static sigjmp_buf jump;
static char *volatile touched;
static volatile siginfo_t info;

static void on_signal(int sig, siginfo_t *got, void *context)
{
    (void)context;
    memcpy((void *)&info, got, sizeof(info));
    if (sig == SIGBUS)
        siglongjmp(jump, 1);
}

static void lazy(size_t size)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    char byte = 'x';
    int fds[2];
    REQUIRE(pipe(fds) == 0 && write(fds[1], &byte, 1) == 1);
    REQUIRE(sigaction(SIGBUS, &action, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    raise(SIGUSR1); /* the handler's stack is there */
    for (int i = 0; i < 5; i++) {
        char *p = map(size, 0);
        REQUIRE(p != MAP_FAILED);
        touched = p;
        if (!sigsetjmp(jump, 1)) {
            for (; touched < p + size; touched += PAGE)
                *(volatile char *)touched = 1;
            if (i == 4)
                printf("lazy: all of it\n");
        } else {
            CHECK(info.si_addr == touched && info.si_code == BUS_ADRERR);
            CHECK(touched > p && touched[-PAGE] == 1);
            CHECK_ERRNO(read(fds[0], touched + PAGE, 1), EFAULT); /* a system call finds none either */
            REQUIRE(madvise(p, PAGE * 20, MADV_DONTNEED) == 0);
            CHECK_EQ(*(volatile char *)touched, 0); /* and now there is some */
            if (i == 4)
                printf("lazy: SIGBUS\n");
        }
        REQUIRE(munmap(p, size) == 0);
    }
}

static int die(size_t size)
{
    char *p = map(size, 0);
    REQUIRE(p != MAP_FAILED);
    for (size_t i = 0; i < size; i += PAGE)
        p[i] = 1;
    return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_lock(void *arg)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return arg;
}

#define STACK 32768ul

/* Takes what there is in small pieces, 64 MB at most, and gives the last 2 MB back. Natively mlock fails sooner. */
static char *fill(void)
{
    const size_t size = 64 << 20, piece = 65536;
    char *p = map(size, 0);
    size_t got = 0;
    REQUIRE(p != MAP_FAILED);
    while (got < size && !mlock(p + got, piece))
        got += piece;
    size_t keep = got < (2 << 20) ? 0 : got - (2 << 20);
    REQUIRE(munmap(p + keep, size - keep) == 0);
    return p;
}

/* The program's own part of each thread is there beforehand. */
static void make_threads(long count)
{
    static pthread_t threads[4096];
    char *stacks = map(count * STACK, 0), *heap;
    REQUIRE(count > 0 && count <= 4096 && stacks != MAP_FAILED);
    memset(stacks, 1, count * STACK);
    REQUIRE(mallopt(M_TRIM_THRESHOLD, 1 << 30) && mallopt(M_MMAP_THRESHOLD, 1 << 30) && (heap = malloc(count * 1024)));
    memset(heap, 1, count * 1024);
    free(heap);
    char *filler = fill();
    for (int i = 0; i < 3; i++) {
        long made = 0;
        int error = 0;
        pthread_mutex_lock(&lock);
        for (; made < count; made++) {
            pthread_attr_t attr;
            REQUIRE(pthread_attr_init(&attr) == 0 && pthread_attr_setstack(&attr, stacks + made * STACK, STACK) == 0);
            if ((error = pthread_create(&threads[made], &attr, wait_for_lock, (void *)made)))
                break;
        }
        pthread_mutex_unlock(&lock);
        if (i == 2)
            printf("threads: %s\n", error ? name_of(error) : "all of them");
        CHECK(made > 0);
        for (long j = 0; j < made; j++) {
            void *result = NULL;
            CHECK_EQ(pthread_join(threads[j], &result), 0);
            CHECK_EQ((intptr_t)result, j);
        }
    }
    REQUIRE(munmap(filler, 64 << 20) == 0);
    REQUIRE(munmap(stacks, count * STACK) == 0);
}

int main(int argc, char **argv)
{
    size_t amount = argc == 4 ? strtoul(argv[2], NULL, 0) : 0, later = argc == 4 ? strtoul(argv[3], NULL, 0) << 20 : 0;
    const char *how = argc == 4 ? argv[1] : "";
    use(PAGE); /* the first lines' buffers, too */
    printf("%s\n", how);
    fflush(stdout);
    if (!strcmp(how, "populate")) {
        populate(amount << 20);
    } else if (!strcmp(how, "advise")) {
        advise(amount << 20);
    } else if (!strcmp(how, "mlock")) {
        lock_pages(amount << 20);
    } else if (!strcmp(how, "lazy")) {
        lazy(amount << 20);
    } else if (!strcmp(how, "die")) {
        return die(amount << 20);
    } else if (!strcmp(how, "threads")) {
        make_threads(amount);
    } else {
        fputs("usage: epc_exhaust populate|advise|mlock|lazy|die|threads AMOUNT LATER\n", stderr);
        return 2;
    }
    use(later);
    printf("%s\n", checks_failed ? "FAILED" : "goes on");
    return checks_failed != 0;
}
