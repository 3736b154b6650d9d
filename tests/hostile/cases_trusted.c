/* SPDX-License-Identifier: Apache-2.0
 *
 * Lies about files that the manifest trusts: the program, and the file `data`. */
#include "tests/hostile/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One byte is another one; value: of which read. */
static uint64_t lie_byte(struct lie_call *c)
{
    uint64_t result = c->honest(c);

    if (c->nth >= hostile_now->value && (int64_t)result > 50)
        ((char *)c->a[1])[result / 2] ^= 1;
    return result;
}

static uint64_t lie_half(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    return (int64_t)result > 1 ? result / 2 : result;
}

/* The file has become longer. */
static uint64_t lie_longer(struct lie_call *c)
{
    uint64_t result = c->honest(c);

    if ((int64_t)result <= 0 || result + 10 > c->a[2])
        return result;
    memset((char *)c->a[1] + result, 'L', 10);
    return result + 10;
}

/* Another file is opened. */
static uint64_t lie_file(struct lie_call *c)
{
    (void)c;
    int fd = open(hostile_now->value ? "/dev/zero" : "/dev/null", O_RDONLY | O_CLOEXEC);
    return (uint64_t)(fd < 0 ? -EIO : fd);
}

static uint64_t lie_size(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    struct stat *st = (void *)c->a[c->exit->args[0] == SYS_fstat ? 1 : 2];

    if (!result)
        st->st_size += hostile_now->value;
    return result;
}

#define T(name, call, lie, param, expected) {name, SYS_##call, lie, param, expected, TRUSTED, NULL}

const struct hostile_case hostile_trusted[] = {
    {"trusted", 0, NULL, 0, "=", TRUSTED, NULL}, {"trusted_later", 0, NULL, 0, "=", TRUSTED, NULL},
    {"trusted_mmap", 0, NULL, 0, "=", TRUSTED, NULL}, {"open", 0, NULL, 0, "=", TRUSTED, NULL},
    /* before it is opened */
    T("trusted", pread64, lie_byte, 0, "trusted: EACCES"), T("trusted", pread64, lie_half, 0, "trusted: EACCES|="),
    T("trusted", pread64, lie_result, 0, "trusted: EACCES"), T("trusted", pread64, lie_result, -EIO, "trusted: EIO"),
    T("trusted", pread64, lie_after_all, 1 << 20, "trusted: EIO"), T("trusted", pread64, lie_longer, 0, "trusted: EACCES"),
    T("trusted", pread64, lie_for_ever, 0, "trusted: EIO"), T("trusted", openat, lie_file, 0, "trusted: EACCES"),
    T("trusted", openat, lie_result, 700, "trusted: EBADF|trusted: EIO"), T("trusted", fstat, lie_size, 100, "=|trusted: EACCES|trusted: EIO"),
    T("trusted", fstat, lie_size, -100, "=|trusted: EACCES|trusted: EIO"), T("trusted", newfstatat, lie_size, 100, "="),
    T("trusted", pread64, lie_byte, 1, "=|trusted: EACCES|trusted: EIO"),
    /* afterwards */
    T("trusted_later", pread64, lie_byte, 0, "trusted_later: EIO"), T("trusted_later", pread64, lie_half, 0, "trusted_later: EIO|="),
    T("trusted_later", pread64, lie_result, 0, "trusted_later: EIO"), T("trusted_later", pread64, lie_longer, 0, "="),
    T("trusted_mmap", pread64, lie_byte, 0, "trusted_mmap: EIO"), T("trusted_mmap", pread64, lie_result, 0, "trusted_mmap: EIO"),
    /* the program itself */
    {"hello", SYS_pread64, lie_byte, 0, "exit:126", TRUSTED | EVERYWHERE, NULL},
    {"hello", SYS_pread64, lie_byte, 5, "exit:126", TRUSTED | EVERYWHERE, NULL},
    {"hello", SYS_pread64, lie_result, 0, "exit:126", TRUSTED | EVERYWHERE, NULL},
    {"hello", SYS_openat, lie_file, 0, "exit:126", TRUSTED | EVERYWHERE, NULL},
    {0},
};
