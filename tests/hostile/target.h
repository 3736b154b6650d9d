/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the target program share. */
#ifndef TESTS_HOSTILE_TARGET_H
#define TESTS_HOSTILE_TARGET_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const char *path_name;

/* From here to end() the host lies. errno is the path's. */
static inline void begin(void)
{
    (void)!access("hostile-begin", F_OK);
    errno = 0;
}

static inline void end(void)
{
    int error = errno;
    (void)!access("hostile-end", F_OK);
    errno = error;
}

static inline uint64_t sum(const void *data, size_t n)
{
    uint64_t s = 1469598103934665603ull;
    for (size_t i = 0; i < n; i++)
        s = (s ^ ((const unsigned char *)data)[i]) * 1099511628211ull;
    return s;
}

/* The path's line: result and what was found, or the error. */
static inline void say(long result, uint64_t found)
{
    if (result < 0)
        printf("%s: %s\n", path_name, strerrorname_np(errno) ? strerrorname_np(errno) : "no such errno");
    else
        printf("%s: %ld %lx\n", path_name, result, (unsigned long)found);
}

/* Something that had to work did not. */
static inline _Noreturn void say_errno(const char *what)
{
    int error = errno;
    printf("%s: %s: %s\n", path_name, what, strerrorname_np(error));
    fflush(stdout);
    _exit(0);
}

void path_hello(void), path_touch(void), path_again(void), path_dontneed(void), path_mprotect(void), path_readonly(void);
void path_fresh(void), path_mremap(void), path_into(void), path_threads(void), path_race(void);
void path_socketpair(void), path_recvfrom(void), path_recvmsg(void), path_sendto(void), path_accept(void);
void path_getsockname(void), path_getsockopt(void), path_socket(void), path_rights(void);
#endif
