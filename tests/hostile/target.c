/* SPDX-License-Identifier: Apache-2.0
 *
 * The program that the host lies to: one path of it a run, by raw system calls, so that nothing between it and the answer
 * makes something else of it. Prints "PATH: what came" or "PATH: ERRNO". */
#include "tests/hostile/target.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>

const char *path_name;

static int data(void)
{
    int fd = open("data", O_RDWR);
    if (fd < 0)
        say_errno("open data");
    return fd;
}

/* ---- files ---- */
static void path_open(void)
{
    char buffer[20] = {0};

    begin();
    long fd = open("data", O_RDONLY), n = fd < 0 ? fd : read((int)fd, buffer, 10);
    end();
    say(n, sum(buffer, sizeof(buffer)));
}

static void path_read(void)
{
    char buffer[300];
    int fd = data();

    memset(buffer, 'U', sizeof(buffer));
    begin();
    long n = read(fd, buffer, 100);
    end();
    say(n, sum(buffer, sizeof(buffer)));
}

static void path_read_all(void)
{
    static char buffer[20000];
    int fd = data();
    long done = 0, n;

    begin();
    while ((n = read(fd, buffer + done, 3000)) > 0 && done < 16000)
        done += n;
    end();
    say(n < 0 ? n : done, sum(buffer, sizeof(buffer)));
}

/* The whole of a file that the manifest may trust, opened on the path or before it. */
static void read_trusted(bool later)
{
    static char buffer[20000];
    int fd = -1;
    long n;

    if (later)
        fd = open("data", O_RDONLY);
    begin();
    if (!later)
        fd = open("data", O_RDONLY);
    n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));
    end();
    say(n, sum(buffer, sizeof(buffer)));
}

static void path_trusted(void)
{
    read_trusted(false);
}

static void path_trusted_later(void)
{
    read_trusted(true);
}

static void path_trusted_mmap(void)
{
    int fd = open("data", O_RDONLY);

    begin();
    char *p = mmap(NULL, 10000, PROT_READ, MAP_PRIVATE, fd, 0);
    end();
    say(p == MAP_FAILED ? -1 : 0, p == MAP_FAILED ? 0 : sum(p, 10000));
}

static void path_pread(void)
{
    char buffer[300] = {0};
    int fd = data();

    begin();
    long n = pread(fd, buffer, 100, 50);
    end();
    say(n, sum(buffer, sizeof(buffer)));
}

static void path_write(void)
{
    int fd = data();

    begin();
    long n = write(fd, "0123456789", 10);
    end();
    say(n, 0);
}

static void path_lseek(void)
{
    int fd = data();

    begin();
    long n = lseek(fd, 0, SEEK_END);
    end();
    say(n, 0);
}

static void path_stat(void)
{
    struct stat st;

    begin();
    long n = stat("data", &st);
    end();
    say(n, n ? 0 : (uint64_t)st.st_size);
}

static void path_fstat(void)
{
    struct stat st;
    int fd = data();

    begin();
    long n = fstat(fd, &st);
    end();
    say(n, n ? 0 : (uint64_t)st.st_size);
}

static void path_getdents(void)
{
    char buffer[4096], *at = buffer;
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    uint64_t names = 0;

    begin();
    long n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
    end();
    for (; n > 0 && at < buffer + n; at += ((struct dirent64 *)(void *)at)->d_reclen)
        names += sum(((struct dirent64 *)(void *)at)->d_name, strlen(((struct dirent64 *)(void *)at)->d_name));
    say(n < 0 ? n : 0, names);
}

static void path_readlink(void)
{
    char buffer[200] = {0};

    begin();
    long n = readlink("link", buffer, 100);
    end();
    say(n, sum(buffer, sizeof(buffer)));
}

static void path_ftruncate(void)
{
    int fd = data();

    begin();
    long n = ftruncate(fd, 100);
    end();
    say(n, 0);
}

static void path_fsync(void)
{
    int fd = data();

    begin();
    long n = fsync(fd);
    end();
    say(n, 0);
}

static void path_flock(void)
{
    int fd = data();

    begin();
    long n = flock(fd, LOCK_EX);
    end();
    say(n, 0);
}

static void path_sendfile(void)
{
    int in = data(), out = open("new", O_RDWR | O_CREAT, 0600);
    off_t offset = 10;

    begin();
    long n = sendfile(out, in, &offset, 100);
    end();
    say(n, (uint64_t)offset);
}

static void path_copy_range(void)
{
    int in = data(), out = open("new", O_RDWR | O_CREAT, 0600);
    long from = 10;

    begin();
    long n = syscall(SYS_copy_file_range, in, &from, out, NULL, 100, 0);
    end();
    say(n, (uint64_t)from);
}

static void path_statfs(void)
{
    struct statfs fs;

    begin();
    long n = statfs(".", &fs);
    end();
    say(n, n ? 0 : fs.f_bsize > 0);
}

static void path_fionread(void)
{
    int fd = data(), n = -1;

    begin();
    long result = ioctl(fd, FIONREAD, &n);
    end();
    say(result, result ? 0 : (uint64_t)n);
}

static void path_mmap(void)
{
    int fd = data();

    begin();
    char *p = mmap(NULL, 10000, PROT_READ, MAP_PRIVATE, fd, 0);
    end();
    say(p == MAP_FAILED ? -1 : 0, p == MAP_FAILED ? 0 : sum(p, 12288));
}

static void path_msync(void)
{
    int fd = data();
    char *p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        say_errno("mmap");
    p[5000] = '!';
    begin();
    long n = msync(p, 10000, MS_SYNC);
    end();
    say(n, (uint64_t)p[5000]);
}

static void path_mkdir(void)
{
    begin();
    long n = mkdir("data", 0700); /* is there */
    end();
    say(n, 0);
}

/* ---- readiness, time, the process ---- */
static void path_poll(void)
{
    struct pollfd p[2] = {{.fd = data(), .events = POLLIN}, {.fd = data(), .events = POLLOUT}};

    begin();
    long n = poll(p, 2, 100);
    end();
    say(n, (uint64_t)(p[0].revents << 16 | p[1].revents));
}

/* A host descriptor that is never ready: a socket. */
static int quiet_socket(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        say_errno("socketpair");
    return ends[0];
}

static void path_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77}, got[4] = {{0}};
    int set = epoll_create1(0), fd = quiet_socket();

    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
        say_errno("epoll_ctl");
    begin();
    long n = epoll_wait(set, got, 4, 50);
    end();
    say(n, n > 0 ? got[0].data.u64 : 0);
}

static void path_eventfd(void)
{
    int fd = eventfd(0, 0);
    uint64_t value = 5;

    begin();
    long n = write(fd, &value, 8);
    value = 0;
    if (n == 8)
        n = read(fd, &value, 8);
    end();
    say(n, value);
}

static void path_pipe(void)
{
    char buffer[100] = {0};
    int ends[2];

    begin();
    long n = pipe(ends);
    if (!n)
        n = write(ends[1], "0123456789", 10);
    if (n == 10)
        n = read(ends[0], buffer, sizeof(buffer));
    end();
    say(n, sum(buffer, sizeof(buffer)));
}

/* The clock never goes back, whatever the host says. */
static void path_monotonic(void)
{
    struct timespec last = {0}, now;
    long n = 0;

    begin();
    for (int i = 0; i < 20 && !n; i++) {
        n = syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
        if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
            n = 1000 + i;
        last = now;
    }
    end();
    say(n, 0);
}

static void path_realtime(void)
{
    struct timespec now = {-1, -1};

    begin();
    long n = syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    end();
    say(n, now.tv_sec > 0 && now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
}

static void path_sleep(void)
{
    struct timespec t = {0, 30000000};

    begin();
    long n = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    end();
    say(n, 0);
}

static void path_affinity(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    begin();
    long n = sched_getaffinity(0, sizeof(set), &set);
    end();
    say(n, CPU_COUNT(&set) > 0 && CPU_COUNT(&set) < 1025);
}

static void path_rusage(void)
{
    struct rusage u;

    begin();
    long n = getrusage(RUSAGE_SELF, &u);
    end();
    say(n, u.ru_utime.tv_sec >= 0 && u.ru_utime.tv_usec >= 0 && u.ru_utime.tv_usec < 1000000);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int sig)
{
    signals_seen += sig;
}

static void path_timer(void)
{
    struct itimerval value = {.it_value = {0, 20000}}, old;

    signal(SIGALRM, on_signal);
    begin();
    long n = setitimer(ITIMER_REAL, &value, NULL);
    for (int i = 0; !n && i < 300 && !signals_seen; i++)
        usleep(10000);
    if (!n)
        n = getitimer(ITIMER_REAL, &old);
    end();
    say(n, (uint64_t)signals_seen);
}

/* A timer that is due in 20 ms. */
static void path_timerfd(void)
{
    struct itimerspec soon = {.it_value = {0, 20000000}};
    uint64_t times = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);

    begin();
    long n = timerfd_settime(fd, 0, &soon, NULL);
    if (!n)
        n = read(fd, &times, sizeof(times));
    end();
    say(n, times);
}

/* One that is due in an hour. */
static void path_timerfd_hour(void)
{
    struct itimerspec later = {.it_value = {3600, 0}};
    uint64_t times = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    begin();
    long n = timerfd_settime(fd, 0, &later, NULL);
    if (!n)
        n = read(fd, &times, sizeof(times));
    end();
    say(n, times);
}

/* Waits in the host while it says that all kinds of signals came. SIGUSR1 has a handler, the rest does not. */
static void path_events(void)
{
    struct timespec t = {0, 5000000};

    signal(SIGUSR1, on_signal);
    begin();
    for (int i = 0; i < 5; i++)
        nanosleep(&t, NULL);
    end();
    say(0, signals_seen % SIGUSR1 == 0);
}

/* ---- threads ---- */
static void *set_flag(void *arg)
{
    __atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    return arg;
}

static void path_thread(void)
{
    static int flag;
    pthread_t id;

    begin();
    int error = pthread_create(&id, NULL, set_flag, &flag);
    if (error) {
        end();
        errno = error;
        usleep(20000);
        say(-1, 0);
        return;
    }
    for (int i = 0; i < 100 && !__atomic_load_n(&flag, __ATOMIC_SEQ_CST); i++)
        usleep(2000);
    bool ran = __atomic_load_n(&flag, __ATOMIC_SEQ_CST);
    if (ran)
        pthread_join(id, NULL);
    end();
    say(0, ran);
}

#define ROUNDS 200
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;

static void *player(void *arg)
{
    int me = (int)(long)arg;

    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 != me)
            pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void path_turns(void)
{
    pthread_t id[2];

    begin();
    for (long i = 0; i < 2; i++)
        if (pthread_create(&id[i], NULL, player, (void *)i))
            say_errno("pthread_create");
    for (int i = 0; i < 2; i++)
        pthread_join(id[i], NULL);
    end();
    say(0, (uint64_t)turn);
}

/* A wait with a timeout does not end before its time, even if the host returns at once. */
static void path_timeout(void)
{
    struct timespec from, until, now;

    clock_gettime(CLOCK_MONOTONIC, &from);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 50000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    begin();
    pthread_mutex_lock(&mutex);
    int error = pthread_cond_timedwait(&condition, &mutex, &until);
    end();
    clock_gettime(CLOCK_MONOTONIC, &now);
    long ms = (now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000;
    say(error == ETIMEDOUT ? 0 : error, ms >= 49);
}

static const struct { const char *name; void (*function)(void); } paths[] = {
    {"open", path_open}, {"read", path_read}, {"read_all", path_read_all}, {"pread", path_pread}, {"write", path_write},
    {"lseek", path_lseek}, {"stat", path_stat}, {"fstat", path_fstat}, {"getdents", path_getdents},
    {"readlink", path_readlink}, {"ftruncate", path_ftruncate}, {"fsync", path_fsync}, {"flock", path_flock},
    {"sendfile", path_sendfile}, {"copy_range", path_copy_range}, {"statfs", path_statfs}, {"fionread", path_fionread},
    {"mmap", path_mmap}, {"msync", path_msync}, {"mkdir", path_mkdir}, {"poll", path_poll}, {"epoll", path_epoll},
    {"eventfd", path_eventfd}, {"pipe", path_pipe}, {"monotonic", path_monotonic}, {"realtime", path_realtime},
    {"sleep", path_sleep}, {"affinity", path_affinity}, {"rusage", path_rusage}, {"timer", path_timer},
    {"events", path_events}, {"thread", path_thread}, {"turns", path_turns}, {"timeout", path_timeout},
    {"timerfd", path_timerfd}, {"timerfd_hour", path_timerfd_hour}, {"trusted", path_trusted}, {"trusted_later", path_trusted_later}, {"trusted_mmap", path_trusted_mmap},
    {"hello", path_hello}, {"touch", path_touch}, {"again", path_again}, {"dontneed", path_dontneed},
    {"mprotect", path_mprotect}, {"readonly", path_readonly}, {"fresh", path_fresh}, {"mremap", path_mremap}, {"into", path_into},
    {"threads", path_threads}, {"race", path_race}, {"socketpair", path_socketpair}, {"recvfrom", path_recvfrom},
    {"recvmsg", path_recvmsg}, {"sendto", path_sendto}, {"accept", path_accept}, {"getsockname", path_getsockname},
    {"getsockopt", path_getsockopt}, {"socket", path_socket}, {"rights", path_rights},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(paths) / sizeof(paths[0]); i++)
        if (!strcmp(paths[i].name, argv[1])) {
            path_name = argv[1];
            paths[i].function();
            return 0;
        }
    return 2;
}
