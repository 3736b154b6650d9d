/* SPDX-License-Identifier: Apache-2.0
 *
 * Named pipes in memory: opening waits for the other end, ends come and go, what is left goes with the last. And locks of open
 * files there. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static char name[64], other[80];

static void make(void)
{
    snprintf(name, sizeof(name), "/dev/shm/fifo-%d", (int)getpid());
    snprintf(other, sizeof(other), "%s.other", name);
    unlink(name);
    unlink(other);
    umask(022);
}

static void names_and_modes(void)
{
    struct stat stat_name, stat_open;

    CHECK_EQ(mkfifo(name, 0666), 0);
    CHECK_ERRNO(mkfifo(name, 0666), EEXIST);
    CHECK_EQ(stat(name, &stat_name), 0);
    CHECK_EQ(stat_name.st_mode, S_IFIFO | 0644);
    CHECK_EQ(rename(name, other), 0);
    int fd = open(other, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &stat_open), 0);
    CHECK_EQ(stat_open.st_ino, stat_name.st_ino);
    CHECK_EQ(stat_open.st_mode, S_IFIFO | 0644);
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(stat(other, &stat_name), 0);
    CHECK_EQ(stat_name.st_mode, S_IFIFO | 0600);
    CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    CHECK_ERRNO(truncate(other, 0), EINVAL);
    CHECK_EQ(unlink(other), 0);
    CHECK_EQ(fstat(fd, &stat_open), 0);
    CHECK_EQ(stat_open.st_nlink, 0);
    CHECK_EQ(write(fd, "still there", 11), 11);
    char text[16] = "";
    CHECK_EQ(read(fd, text, 16), 11);
    close(fd);
}

static void not_waiting(void)
{
    char text[8];
    int left = -1;

    CHECK_EQ(mkfifo(name, 0600), 0);
    CHECK_ERRNO(open(name, O_WRONLY | O_NONBLOCK), ENXIO);
    int in = open(name, O_RDONLY | O_NONBLOCK);
    struct pollfd poll_in = {.fd = in, .events = POLLIN};
    CHECK(in >= 0);
    CHECK_EQ(poll(&poll_in, 1, 0), 0);              /* no writer yet is not the same as none any more */
    CHECK_EQ(read(in, text, 8), 0);
    int out = open(name, O_WRONLY | O_NONBLOCK), second = open(name, O_WRONLY);
    CHECK(out >= 0 && second >= 0);
    CHECK_ERRNO(read(in, text, 8), EAGAIN);
    CHECK_EQ(write(out, "ab", 2), 2);
    CHECK_EQ(write(second, "cd", 2), 2);
    CHECK_EQ(ioctl(in, FIONREAD, &left), 0);
    CHECK_EQ(left, 4);
    CHECK_EQ(close(out), 0);
    CHECK_EQ(poll(&poll_in, 1, 0), 1);
    CHECK_EQ(poll_in.revents, POLLIN);
    CHECK_EQ(close(second), 0);
    CHECK_EQ(poll(&poll_in, 1, 0), 1);
    CHECK_EQ(poll_in.revents, POLLIN | POLLHUP);
    CHECK_EQ(read(in, text, 3), 3);
    CHECK(!memcmp(text, "abc", 3));
    out = open(name, O_WRONLY | O_NONBLOCK);
    CHECK_EQ(read(in, text, 8), 1);
    CHECK_EQ(close(in), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(out, "x", 1), EPIPE);
    in = open(name, O_RDONLY);
    CHECK_EQ(write(out, "lost", 4), 4);
    CHECK_EQ(close(in), 0);
    CHECK_EQ(close(out), 0);
    in = open(name, O_RDONLY | O_NONBLOCK);
    CHECK_EQ(read(in, text, 8), 0);
    CHECK_EQ(close(in), 0);
    CHECK_EQ(unlink(name), 0);
}

static void *writer(void *unused)
{
    sleep_ms(20);
    int out = open(name, O_WRONLY);
    CHECK(out >= 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(write(out, &i, sizeof(i)), sizeof(i));
    close(out);
    return unused;
}

static void *brief(void *unused)
{
    sleep_ms(20);
    int in = open(name, O_RDONLY);
    CHECK(in >= 0);
    close(in);
    return unused;
}

static void on_signal(int sig)
{
    (void)sig;
}

static void waiting(void)
{
    pthread_t thread;
    int value, n = 0;

    CHECK_EQ(mkfifo(name, 0600), 0);
    REQUIRE(!pthread_create(&thread, NULL, writer, NULL));
    int in = open(name, O_RDONLY);
    CHECK(in >= 0);
    while (read(in, &value, sizeof(value)) == sizeof(value))
        CHECK_EQ(value, n++);
    CHECK_EQ(n, 1000);
    pthread_join(thread, NULL);
    close(in);
    REQUIRE(!pthread_create(&thread, NULL, brief, NULL));
    int out = open(name, O_WRONLY);                 /* although the reader is gone again by now */
    CHECK(out >= 0);
    pthread_join(thread, NULL);
    CHECK_ERRNO(write(out, "x", 1), EPIPE);
    close(out);
    struct sigaction act = {.sa_handler = on_signal};
    CHECK_EQ(sigaction(SIGALRM, &act, NULL), 0);
    timer_t timer;
    struct itimerspec soon = {.it_value = {0, 20000000}, .it_interval = {0, 20000000}};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
    CHECK_ERRNO(open(name, O_RDONLY), EINTR);
    CHECK_ERRNO(open(name, O_WRONLY), EINTR);
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_ERRNO(open(name, O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_EQ(unlink(name), 0);
}

/* ---- locks --------------------------------------------------------------------------------------------------------- */
static long lock_part(int fd, int command, short type, off_t start, off_t length, struct flock *answer)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    int result = fcntl(fd, command, &l);

    if (answer)
        *answer = l;
    return result;
}

static void *unlock_later(void *fd)
{
    sleep_ms(20);
    CHECK_EQ(lock_part((int)(intptr_t)fd, F_OFD_SETLK, F_UNLCK, 0, 0, NULL), 0);
    return NULL;
}

static void locks_of_open_files(void)
{
    int one = open(name, O_RDWR | O_CREAT, 0600), two = open(name, O_RDWR), reader = open(name, O_RDONLY);
    struct flock l;
    pthread_t thread;

    REQUIRE(one >= 0 && two >= 0 && reader >= 0);
    CHECK_EQ(ftruncate(one, 1000), 0);
    CHECK_EQ(lock_part(one, F_OFD_SETLK, F_WRLCK, 100, 100, NULL), 0);
    CHECK_EQ(lock_part(one, F_OFD_SETLK, F_WRLCK, 150, 100, NULL), 0);
    CHECK_ERRNO(lock_part(two, F_OFD_SETLK, F_RDLCK, 199, 10, NULL), EAGAIN);
    CHECK_ERRNO(lock_part(two, F_SETLK, F_RDLCK, 199, 10, NULL), EAGAIN);
    CHECK_EQ(lock_part(two, F_OFD_SETLK, F_WRLCK, 250, 10, NULL), 0);
    CHECK_EQ(lock_part(two, F_OFD_GETLK, F_RDLCK, 0, 0, &l), 0);
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_start, 100);
    CHECK_EQ(l.l_len, 150);
    CHECK_EQ(l.l_pid, -1);
    CHECK_EQ(lock_part(one, F_OFD_SETLK, F_UNLCK, 120, 10, NULL), 0);     /* cut in two */
    CHECK_EQ(lock_part(two, F_OFD_SETLK, F_RDLCK, 120, 10, NULL), 0);
    CHECK_ERRNO(lock_part(two, F_OFD_SETLK, F_RDLCK, 119, 1, NULL), EAGAIN);
    CHECK_ERRNO(lock_part(two, F_OFD_SETLK, F_RDLCK, 130, 1, NULL), EAGAIN);
    CHECK_EQ(lock_part(reader, F_OFD_SETLK, F_RDLCK, 120, 10, NULL), 0);
    CHECK_ERRNO(lock_part(reader, F_OFD_SETLK, F_WRLCK, 0, 10, NULL), EBADF);
    CHECK_ERRNO(lock_part(one, F_OFD_SETLK, F_WRLCK, -1, 10, NULL), EINVAL);
    CHECK_EQ(lock_part(one, F_OFD_SETLK, F_WRLCK, 900, -100, NULL), 0);
    CHECK_ERRNO(lock_part(two, F_OFD_SETLK, F_WRLCK, 899, 1, NULL), EAGAIN);
    CHECK_EQ(lock_part(two, F_OFD_SETLK, F_WRLCK, 900, 1, NULL), 0);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -50, .l_len = 0, .l_pid = 1};
    CHECK_ERRNO(fcntl(one, F_OFD_SETLK, &l), EINVAL);
    l.l_pid = 0;
    CHECK_EQ(fcntl(one, F_OFD_SETLK, &l), 0);
    CHECK_ERRNO(lock_part(two, F_OFD_SETLK, F_WRLCK, 100000, 1, NULL), EAGAIN);
    CHECK_EQ(lock_part(one, F_SETLK, F_WRLCK, 500, 10, NULL), 0);         /* the process's */
    CHECK_EQ(lock_part(two, F_SETLK, F_WRLCK, 500, 10, NULL), 0);
    CHECK_ERRNO(lock_part(two, F_OFD_SETLK, F_RDLCK, 500, 10, NULL), EAGAIN);
    CHECK_EQ(lock_part(two, F_OFD_GETLK, F_RDLCK, 505, 1, &l), 0);
    CHECK_EQ(l.l_pid, getpid());
    REQUIRE(!pthread_create(&thread, NULL, unlock_later, (void *)(intptr_t)one));
    CHECK_EQ(lock_part(two, F_OFD_SETLKW, F_WRLCK, 130, 20, NULL), 0);
    pthread_join(thread, NULL);
    int same = dup(two);
    close(two);
    CHECK_ERRNO(lock_part(one, F_OFD_SETLK, F_WRLCK, 130, 20, NULL), EAGAIN);
    close(same);
    CHECK_EQ(lock_part(one, F_OFD_SETLK, F_WRLCK, 130, 20, NULL), 0);
    close(one);
    close(reader);
    CHECK_EQ(unlink(name), 0);
}

static const struct section sections[] = {
    {"names and modes", names_and_modes},
    {"not waiting", not_waiting},
    {"waiting", waiting},
    {"locks of open files", locks_of_open_files},
};

int main(int argc, char **argv)
{
    make();
    return RUN_SECTIONS(sections, argc, argv);
}
