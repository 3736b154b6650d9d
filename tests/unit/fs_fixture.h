/* SPDX-License-Identifier: Apache-2.0
 *
 * A LibOS whose root is a fresh directory of the host. */
#ifndef VIGIL_FS_FIXTURE_H
#define VIGIL_FS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_enclave.h"
#include "libos/libos.h"

#include <asm/unistd_64.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fs_setup(void **state);
int fs_setup_only_directory(void **state);   /* the test configures and calls fs_start itself */
void fs_start(void);
int fs_teardown(void **state);
#define FS_TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)
#define FS_TEST_UNSTARTED(name) cmocka_unit_test_setup_teardown(name, fs_setup_only_directory, fs_teardown)

/* A system call of the program. */
long fixture_call(long nr, const long *args, size_t n);
#define sys(nr, ...) fixture_call(nr, (const long[]){__VA_ARGS__}, sizeof((const long[]){__VA_ARGS__}) / sizeof(long))

long str(const char *string);                /* in application memory; a few stay valid at a time */
uint64_t map(size_t n);                      /* fresh application memory */
long out(void);                              /* one buffer of 64 KiB of application memory */
char *peek(size_t n);                        /* its first n bytes (a copy, NUL behind) */

/* Files on the host, below the root directory. */
const char *host_root(void);
void host_file(const char *name, const char *content);
void host_dir(const char *name);
void host_link(const char *target, const char *name);
void fixture_fifo(const char *name);
int fixture_enter_root(void);                /* the host's current directory := the root directory */
void fixture_leave_root(void);
uint32_t fixture_uid(void);                  /* who the host runs this as */
/* Is this an address in this thread's bounce memory? */
bool fixture_in_bounce(long address);
/* Closes the program's descriptor without a word to the host (which never opened it). */
void fixture_forget(long fd);
void assert_host_file(const char *name, const char *content);

void fixture_close(const long *fds, size_t n);
#define close_all(...) fixture_close((const long[]){__VA_ARGS__}, sizeof((const long[]){__VA_ARGS__}) / sizeof(long))

struct fixture_stat { uint64_t ino, rdev; int64_t size; uint32_t mode, nlink, uid; };
struct fixture_stat fixture_stat_at(long user);
/* Directory records whose name begins with prefix. */
int fixture_count_entries(const char *records, size_t n, bool old, const char *prefix);
bool fixture_normalise(char *out, size_t size, const char *base, const char *name);
/* Fails the test when the host is called. */
long fixture_no_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5);

#endif
