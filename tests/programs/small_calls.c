/* SPDX-License-Identifier: Apache-2.0 */
/* Small calls: waiting for children that are not there, openat2, descriptors of the process itself, niceness. */
#include "check.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void children(void)
{
    siginfo_t info;
    int status;

    CHECK_ERRNO(wait(&status), ECHILD);
    CHECK_ERRNO(waitpid(-1, &status, WNOHANG), ECHILD);
    CHECK_ERRNO(waitpid(-1, &status, 0x100), EINVAL);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
    CHECK_ERRNO(waitid(77, 0, &info, WEXITED), EINVAL);
}

static long openat2_of(const char *name, uint64_t flags, uint64_t mode, size_t size)
{
    struct { struct open_how how; char more[40]; } how = {.how = {.flags = flags, .mode = mode}};
    return syscall(SYS_openat2, AT_FDCWD, name, &how, size);
}

static void opening(void)
{
    size_t size = sizeof(struct open_how);
    long fd = openat2_of("/dev/null", O_RDWR | O_CLOEXEC, 0, size);

    CHECK(fd >= 0 && fcntl((int)fd, F_GETFD) == FD_CLOEXEC);
    close((int)fd);
    fd = openat2_of("/dev/null", O_RDONLY, 0, size + 40);
    CHECK(fd >= 0);
    close((int)fd);
    CHECK_ERRNO(openat2_of("/dev/null", O_RDONLY, 0600, size), EINVAL);
    CHECK_ERRNO(openat2_of("/dev/null", 1ull << 40, 0, size), EINVAL);
    CHECK_ERRNO(openat2_of("/dev/null", O_RDONLY, 0, 8), EINVAL);
    CHECK_ERRNO(openat2_of("/no/such/file", O_RDONLY, 0, size), ENOENT);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "/dev/null", (void *)16, size), EFAULT);
}

static volatile sig_atomic_t seen, code;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    seen = sig;
    code = info->si_code;
}

static void own_process(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    sigaction(SIGUSR1, &action, NULL);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0), 0);
    CHECK(seen == SIGUSR1 && code == SI_USER);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, &info, 0), 0);
    CHECK_EQ(code, SI_QUEUE);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), 0);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, 100, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &info, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 0, SIGUSR1, NULL, 0), EBADF);
    CHECK_EQ(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
    CHECK_ERRNO(syscall(SYS_pidfd_open, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 77), EINVAL);
    close(fd);
}

static void niceness(void)
{
    int before = getpriority(PRIO_PROCESS, 0); /* the tests may run under nice */

    CHECK(before >= 0 && before < 13);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, before + 3), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), before + 3);
    CHECK_EQ(getpriority(PRIO_PROCESS, getpid()), before + 3);
    CHECK_EQ(nice(4), before + 7);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 100), 0); /* as far as it goes */
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERRNO(setpriority(9, 0, 0), EINVAL);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "children", children },
        { "opening", opening },
        { "own process", own_process },
        { "niceness", niceness },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
