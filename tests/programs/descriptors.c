/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors of what is no file: memory (memfd_create) and timers (timerfd). */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- memory ---------------------------------------------------------------------------------------------------------- */
static void memory(void)
{
    char bytes[64] = "", name[64];
    struct stat st;
    int fd = memfd_create("name", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(pread(fd, bytes, 20, 4), 6);
    CHECK(!memcmp(bytes, "456789", 6));
    CHECK_EQ(ftruncate(fd, 100000), 0);
    CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 100000 && st.st_nlink == 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    memset(bytes, 0, sizeof(bytes));
    CHECK(readlink(name, bytes, sizeof(bytes)) > 0 && !strcmp(bytes, "/memfd:name (deleted)"));
    int again = open(name, O_RDONLY);
    CHECK(read(again, bytes, 3) == 3 && !memcmp(bytes, "012", 3));
    CHECK_ERRNO(write(again, "x", 1), EBADF);
    close(again);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    close(fd);
    CHECK_ERRNO(memfd_create("x", 0x8000), EINVAL);
    CHECK_ERRNO(memfd_create(NULL, 0), EFAULT);
}

static void seals(void)
{
    int fd = memfd_create("", MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_ERRNO(ftruncate(fd, 4097), EPERM);
    CHECK_ERRNO(pwrite(fd, "abc", 3, 4096), EPERM);
    CHECK_EQ(pwrite(fd, "abc", 3, 4090), 3);
    CHECK_ERRNO(fallocate(fd, 0, 0, 5000), EPERM);
    CHECK_EQ(ftruncate(fd, 4000), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    CHECK_ERRNO(ftruncate(fd, 10), EPERM);
    CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EPERM);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    close(fd);
}

static void shared_memory(void)
{
    int fd = memfd_create("shared", 0);
    char byte = 0;
    REQUIRE(fd >= 0 && ftruncate(fd, 3 * 4096) == 0);
    char *memory = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    memory[5000] = 7;
    CHECK(pread(fd, &byte, 1, 5000) == 1 && byte == 7);
    CHECK(pwrite(fd, "w", 1, 9000) == 1 && memory[9000] == 'w');
    CHECK_EQ(munmap(memory, 3 * 4096), 0);
    CHECK(pread(fd, &byte, 1, 5000) == 1 && byte == 7);
    close(fd);
}

/* ---- timers ---------------------------------------------------------------------------------------------------------- */
static struct itimerspec milliseconds(long first, long interval)
{
    return (struct itimerspec){ { interval / 1000, interval % 1000 * 1000000 }, { first / 1000, first % 1000 * 1000000 } };
}

static void timers(void)
{
    uint64_t count = 0;
    struct itimerspec soon = milliseconds(20, 0), often = milliseconds(5, 5), never = milliseconds(0, 0), now;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    REQUIRE(fd >= 0);
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 20000000);
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_EQ(count, 1);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 20000000);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
    CHECK_EQ(timerfd_settime(fd, 0, &often, &now), 0);
    sleep_ms(30);
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK(count >= 5);
    CHECK_EQ(timerfd_settime(fd, 0, &never, &now), 0);
    CHECK_EQ(now.it_interval.tv_nsec, 5000000);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
    CHECK_ERRNO(read(fd, &count, 7), EINVAL);
    CHECK_ERRNO(write(fd, &count, 8), EINVAL);
    close(fd);
}

static void timers_are_waited_for(void)
{
    uint64_t count = 0;
    struct epoll_event event = { .events = EPOLLIN };
    struct itimerspec at;
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK), set = epoll_create1(0), pair[2];
    REQUIRE(fd >= 0 && set >= 0 && pipe(pair) == 0);
    struct pollfd fds[2] = { { fd, POLLIN, 0 }, { pair[0], POLLIN, 0 } };
    clock_gettime(CLOCK_REALTIME, &at.it_value);
    at.it_interval = (struct timespec){ 0, 0 };
    at.it_value.tv_nsec += 20000000;
    at.it_value.tv_sec += at.it_value.tv_nsec / 1000000000;
    at.it_value.tv_nsec %= 1000000000;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL), 0);
    CHECK_EQ(poll(fds, 2, 5000), 1);
    CHECK_EQ(fds[0].revents, POLLIN);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(epoll_wait(set, &event, 1, 5000), 1);
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_EQ(count, 1);
    CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
    at = milliseconds(10, 0);
    CHECK_EQ(timerfd_settime(fd, 0, &at, NULL), 0);
    CHECK_EQ(epoll_wait(set, &event, 1, 5000), 1);
    close(set);
    close(fd);
    close(pair[0]);
    close(pair[1]);
}

static void timer_errors(void)
{
    struct itimerspec bad = { { 0, 0 }, { 0, 1000000000 } };
    int fd = timerfd_create(CLOCK_BOOTTIME, 0);
    CHECK(fd >= 0);
    CHECK_ERRNO(timerfd_settime(fd, 0, &bad, NULL), EINVAL);
    CHECK_ERRNO(timerfd_settime(fd, 8, &bad, NULL), EINVAL);
    CHECK_ERRNO(timerfd_settime(0, 0, &(struct itimerspec){ { 0, 0 }, { 0, 0 } }, NULL), EINVAL);
    CHECK_ERRNO(timerfd_settime(99, 0, &(struct itimerspec){ { 0, 0 }, { 0, 0 } }, NULL), EBADF);
    CHECK_ERRNO(timerfd_gettime(0, &bad), EINVAL);
    CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "memory", memory },
        { "seals", seals },
        { "shared memory", shared_memory },
        { "timers", timers },
        { "timers are waited for", timers_are_waited_for },
        { "errors of timers", timer_errors },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
