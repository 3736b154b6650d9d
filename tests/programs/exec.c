/* SPDX-License-Identifier: Apache-2.0
 *
 * execve: what the new program inherits and what it does not, from a process with threads that wait and compute, and what
 * is wrong with programs that cannot be executed. The program calls itself with another first argument. */
#include "check.h"
#include "tempdir.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LONG 20000

static char self[4096];
static char **environment;
static volatile uint64_t work;

static void *compute(void *arg)
{
    for (;;)
        work++;
    return arg;
}

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *read_for_ever(void *fd)
{
    char byte;

    for (;;)
        (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

static void nothing(int sig)
{
    (void)sig;
}

static void make(const char *name, const char *text, int mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    CHECK_EQ(fchmod(fd, (mode_t)mode), 0);
    close(fd);
}

static void what_cannot_be_executed(void)
{
    char *argv[] = { "x", NULL }, *huge[3] = { "x", malloc(200000), NULL };

    make("text", "just text\n", 0700);
    make("not_executable", "#!/bin/sh\n", 0600);
    make("no_interpreter", "#!/nowhere/at/all\n", 0700);
    make("loop", "#!./loop\n", 0700);
    CHECK_ERRNO(execve("nothing", argv, environment), ENOENT);
    CHECK_ERRNO(execve("", argv, environment), ENOENT);
    CHECK_ERRNO(execve("text/below", argv, environment), ENOTDIR);
    CHECK_ERRNO(execve("text", argv, environment), ENOEXEC);
    CHECK_ERRNO(execve("not_executable", argv, environment), EACCES);
    CHECK_ERRNO(execve("no_interpreter", argv, environment), ENOENT);
    CHECK_ERRNO(execve("loop", argv, environment), ELOOP);
    CHECK_ERRNO(execve(".", argv, environment), EACCES);
    CHECK_ERRNO(syscall(SYS_execve, 1, argv, environment), EFAULT);
    CHECK_ERRNO(syscall(SYS_execve, self, 8, environment), EFAULT);
    memset(huge[1], 'x', 199999);
    huge[1][199999] = 0;
    CHECK_ERRNO(execve(self, huge, environment), E2BIG);
    free(huge[1]);
}

/* Behind the second execve. */
static int second(int argc, char **argv)
{
    struct sigaction action;
    sigset_t mask;
    int kept = atoi(argv[2]), closed = atoi(argv[3]);
    char text[8] = "";

    CHECK_EQ(argc, 5);
    CHECK_EQ(strlen(argv[4]), LONG);
    CHECK(!strcmp(getenv("EXEC_TEST") ? getenv("EXEC_TEST") : "", "kept on the way"));
    CHECK_EQ(fcntl(kept, F_GETFD), 0);
    CHECK_EQ(lseek(kept, 0, SEEK_CUR), 3); /* the open file is the same one */
    CHECK_EQ(read(kept, text, 3), 3);
    CHECK(!strcmp(text, "456"));
    CHECK_ERRNO(fcntl(closed, F_GETFD), EBADF);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_IGN);
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    CHECK(sigismember(&mask, SIGALRM) && !sigismember(&mask, SIGINT));
    CHECK_EQ(sigpending(&mask), 0);
    CHECK(sigismember(&mask, SIGALRM)); /* a pending signal stays so */
    CHECK_EQ(getpid(), syscall(SYS_gettid));
    /* What the first program has made. */
    static const char *const names[] = { "text", "not_executable", "no_interpreter", "loop", "kept" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_EQ(unlink(names[i]), 0);
    CHECK(getcwd(self, sizeof(self)) != NULL);
    CHECK_EQ(rmdir(self), 0);
    printf("second: ok\n");
    return atomic_load(&checks_failed) != 0;
}

static void *start_again(void *argument)
{
    execve(self, argument, environment);
    printf("execve failed: %d\n", errno);
    exit(1);
}

/* Many times in a row, from the main thread and from others. */
static int count_down(int left)
{
    char number[12];
    char *argv[] = { "again", number, NULL };
    pthread_t thread;

    if (!left) {
        printf("again: ok\n");
        return 0;
    }
    snprintf(number, sizeof(number), "%d", left - 1);
    CHECK_EQ(pthread_create(&thread, NULL, compute, NULL), 0);
    if (left % 2) {
        CHECK_EQ(pthread_create(&thread, NULL, start_again, argv), 0);
        wait_for_ever(NULL);
    }
    start_again(argv);
    return 1;
}

static int first(void)
{
    static char long_argument[LONG + 1], numbers[2][12];
    char *argv[] = { "second", "second", numbers[0], numbers[1], long_argument, NULL };
    int pipes[2], kept, closed;
    pthread_t thread;
    sigset_t mask;

    memset(long_argument, 'y', LONG);
    CHECK_EQ(pipe(pipes), 0);
    make("kept", "123456", 0600);
    kept = open("kept", O_RDONLY);
    closed = open("kept", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(lseek(kept, 3, SEEK_SET), 3);
    snprintf(numbers[0], 12, "%d", kept);
    snprintf(numbers[1], 12, "%d", closed);
    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    CHECK_EQ(kill(getpid(), SIGALRM), 0);
    setenv("EXEC_TEST", "kept on the way", 1);
    environment = environ;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread, NULL, i == 0 ? compute : i == 1 ? wait_for_ever : read_for_ever, &pipes[0]), 0);
    fflush(stdout);
    if (atomic_load(&checks_failed))
        return 1;
    /* Not from the first thread, whose number the new program has all the same. */
    CHECK_EQ(pthread_create(&thread, NULL, start_again, argv), 0);
    wait_for_ever(NULL);
    return 1;
}

int main(int argc, char **argv)
{
    environment = environ;
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 1;
    if (argc > 1 && !strcmp(argv[0], "second"))
        return second(argc, argv);
    if (argc > 1 && !strcmp(argv[0], "again"))
        return count_down(atoi(argv[1]));
    if (argc > 1 && !strcmp(argv[1], "again")) {
        char *again[] = { "again", "30", NULL };
        start_again(again);
    }
    tempdir_enter(argc, argv);
    what_cannot_be_executed();
    printf("refused: ok\n");
    return first();
}
