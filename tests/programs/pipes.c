/* SPDX-License-Identifier: Apache-2.0
 *
 * Pipes: order, atomicity, ends that close, not waiting, and waiting for several. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define STREAM (1 << 20)

static int fds[2];

static void open_pipe(int flags)
{
    REQUIRE(pipe2(fds, flags) == 0);
}

static void close_pipe(void)
{
    close(fds[0]);
    close(fds[1]);
}

static void *write_stream(void *unused)
{
    uint64_t state = 1;
    char buffer[5000];
    size_t left = STREAM;
    while (left) {
        size_t n = 1 + random_next(&state) % sizeof(buffer);
        n = n > left ? left : n;
        for (size_t i = 0; i < n; i++)
            buffer[i] = (STREAM - left + i) * 7 >> 3;
        size_t done = 0;
        while (done < n) {
            ssize_t result = write(fds[1], buffer + done, n - done);
            REQUIRE(result > 0);
            done += result;
        }
        left -= n;
    }
    close(fds[1]);
    return unused;
}

static void stream(void)
{
    pthread_t thread;
    char buffer[3000];
    size_t total = 0;
    ssize_t n;
    uint64_t hash = HASH_START;
    bool right = true;
    open_pipe(0);
    REQUIRE(pthread_create(&thread, NULL, write_stream, NULL) == 0);
    while ((n = read(fds[0], buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            right &= buffer[i] == (char)((total + i) * 7 >> 3);
        hash = hash_bytes(hash, buffer, n);
        total += n;
    }
    CHECK_EQ(n, 0);
    CHECK(right);
    CHECK_EQ(total, STREAM);
    pthread_join(thread, NULL);
    close(fds[0]);
    printf("stream hash %016lx\n", hash);
}

#define RECORD 512
#define RECORDS 60

static void *write_records(void *letter)
{
    char record[RECORD];
    memset(record, (int)(intptr_t)letter, sizeof(record));
    for (int i = 0; i < RECORDS; i++)
        CHECK_EQ(write(fds[1], record, RECORD), RECORD);
    return NULL;
}

/* Writes of up to PIPE_BUF bytes do not mix. */
static void atomic_writes(void)
{
    pthread_t writers[3];
    char record[RECORD];
    int seen[3] = { 0 };
    open_pipe(0);
    for (intptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&writers[i], NULL, write_records, (void *)('a' + i)) == 0);
    for (int i = 0; i < 3 * RECORDS; i++) {
        for (size_t done = 0; done < RECORD;) {
            ssize_t n = read(fds[0], record + done, RECORD - done);
            REQUIRE(n > 0);
            done += n;
        }
        for (int j = 1; j < RECORD; j++)
            CHECK(record[j] == record[0]);
        REQUIRE(record[0] >= 'a' && record[0] <= 'c');
        seen[record[0] - 'a']++;
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(writers[i], NULL);
        CHECK_EQ(seen[i], RECORDS);
    }
    close_pipe();
}

static volatile sig_atomic_t broken;

static void on_sigpipe(int sig)
{
    broken += sig == SIGPIPE;
}

static void closed_ends(void)
{
    char c;
    open_pipe(0);
    close(fds[0]);
    signal(SIGPIPE, on_sigpipe);
    CHECK_ERRNO(write(fds[1], "x", 1), EPIPE);
    CHECK_EQ(broken, 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(fds[1], "x", 1), EPIPE);
    CHECK_EQ(broken, 1);
    signal(SIGPIPE, SIG_DFL);
    close(fds[1]);
    open_pipe(0);
    CHECK_EQ(write(fds[1], "last", 4), 4);
    int copy = dup(fds[1]);
    close(fds[1]);
    CHECK_EQ(write(copy, "!", 1), 1);
    close(copy);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(read(fds[0], &c, 1), 1);
    CHECK_EQ(c, '!');
    CHECK_EQ(read(fds[0], &c, 1), 0);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    close(fds[0]);
    CHECK_ERRNO(read(fds[0], &c, 1), EBADF);
    open_pipe(0);
    CHECK_ERRNO(read(fds[1], &c, 1), EBADF);
    CHECK_ERRNO(write(fds[0], &c, 1), EBADF);
    CHECK_ERRNO(lseek(fds[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(pread(fds[0], &c, 1, 0), ESPIPE);
    close_pipe();
}

static void not_waiting(void)
{
    static char block[4096];
    open_pipe(O_NONBLOCK | O_CLOEXEC);
    CHECK_EQ(fcntl(fds[0], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_RDONLY);
    CHECK_EQ(fcntl(fds[1], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | O_WRONLY);
    CHECK_EQ(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fds[0], block, 1), EAGAIN);
    long capacity = 0;
    ssize_t n;
    while (capacity < (16 << 20) && (n = write(fds[1], block, sizeof(block))) > 0)
        capacity += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(capacity, 65536);
    CHECK_ERRNO(write(fds[1], block, 1), EAGAIN);
    int available = 0;
    CHECK_EQ(ioctl(fds[0], FIONREAD, &available), 0);
    CHECK_EQ(available, 65536);
    struct pollfd full = { .fd = fds[1], .events = POLLOUT };
    CHECK_EQ(poll(&full, 1, 0), 0);
    CHECK_EQ(read(fds[0], block, 4096), 4096);
    CHECK_EQ(poll(&full, 1, 0), 1);
    CHECK_EQ(full.revents, POLLOUT);
    CHECK_EQ(fcntl(fds[0], F_SETFL, 0), 0);
    CHECK_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    close_pipe();
}

static void *write_later(void *unused)
{
    sleep_ms(20);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    return unused;
}

static void waiting_for_several(void)
{
    int other[2];
    char c;
    pthread_t thread;
    open_pipe(0);
    REQUIRE(pipe(other) == 0);
    struct pollfd set[4] = { { .fd = fds[0], .events = POLLIN }, { .fd = other[0], .events = POLLIN },
                             { .fd = -1, .events = POLLIN }, { .fd = 999, .events = POLLIN } };
    CHECK_EQ(poll(set, 3, 0), 0);
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(poll(set, 2, 30), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 29000000);
    CHECK_EQ(poll(set, 4, 1000), 1);
    CHECK_EQ(set[3].revents, POLLNVAL);
    REQUIRE(pthread_create(&thread, NULL, write_later, NULL) == 0);
    CHECK_EQ(poll(set, 2, 5000), 1);
    CHECK_EQ(set[0].revents, POLLIN);
    CHECK_EQ(set[1].revents, 0);
    pthread_join(thread, NULL);
    CHECK_EQ(write(other[1], "y", 1), 1);
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fds[0], &readable);
    FD_SET(other[0], &readable);
    int highest = (fds[0] > other[0] ? fds[0] : other[0]) + 1;
    CHECK_EQ(select(highest, &readable, NULL, NULL, NULL), 2);
    CHECK(FD_ISSET(fds[0], &readable) && FD_ISSET(other[0], &readable));
    CHECK_EQ(read(fds[0], &c, 1), 1);
    close(other[1]);
    CHECK_EQ(poll(set, 2, 1000), 1);
    CHECK_EQ(set[1].revents, POLLIN | POLLHUP);
    CHECK_EQ(read(other[0], &c, 1), 1);
    CHECK_EQ(poll(set, 2, 1000), 1);
    CHECK_EQ(set[1].revents, POLLHUP);
    close(fds[0]);
    set[0] = (struct pollfd){ .fd = fds[1], .events = POLLOUT };
    CHECK_EQ(poll(set, 1, 0), 1);
    CHECK_EQ(set[0].revents, POLLOUT | POLLERR);
    CHECK_EQ(ppoll(NULL, 0, &(struct timespec){ 0, 1000000 }, NULL), 0);
    close(fds[1]);
    close(other[0]);
}

static void vectors(void)
{
    char a[10] = { 0 }, b[10] = { 0 }, c[10] = { 0 };
    struct iovec out[3] = { { "one", 3 }, { "", 0 }, { "four", 4 } }, in[3] = { { a, 2 }, { b, 3 }, { c, 10 } };
    open_pipe(0);
    CHECK_EQ(writev(fds[1], out, 3), 7);
    CHECK_EQ(readv(fds[0], in, 3), 7);
    CHECK(!strcmp(a, "on") && !strcmp(b, "efo") && !strcmp(c, "ur"));
    CHECK_EQ(write(fds[1], NULL, 0), 0);
    CHECK_ERRNO(syscall(SYS_writev, fds[1], out, 2000), EINVAL);
    close_pipe();
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "stream", stream },
        { "atomic writes", atomic_writes },
        { "closed ends", closed_ends },
        { "not waiting", not_waiting },
        { "waiting for several", waiting_for_several },
        { "vectors", vectors },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
