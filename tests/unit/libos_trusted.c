/* SPDX-License-Identifier: Apache-2.0
 *
 * sgx.trusted_files against a host that lies: what the program reads is what was signed, or an error. */
#include "fs_fixture.h"

#include "libos/fs/sha256.h"

#include <errno.h>
#include <unistd.h>

#define CHUNK 16384
#define SIZE (3 * CHUNK + 100)

static char content[SIZE + 1];

static long real(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    long result = syscall(nr, a0, a1, a2, a3, a4, a5);
    return result == -1 ? -errno : result;
}

/* The file as it was signed. */
static void start(void)
{
    uint8_t digest[32];
    struct sha256 s;

    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)('a' + (i / 7 + i / CHUNK) % 26);
    content[SIZE] = 0;
    sha256_init(&s);
    sha256_update(&s, content, SIZE);
    sha256_final(&s, digest);
    fake_config()->flags &= ~(uint32_t)VIGIL_FLAG_ALLOW_FILES;
    fake_config_trusted("/t", digest);
    fs_start();
    host_file("t", content);
}

static long read_at(long fd, size_t n, size_t offset)
{
    return sys(__NR_pread64, fd, out(), (long)n, (long)offset);
}

static void assert_reads(long fd, size_t n, size_t offset)
{
    assert_int_equal(read_at(fd, n, offset), n);
    assert_memory_equal(peek(n), content + offset, n);
}

static void change(size_t offset, char byte)
{
    char name[4200];
    FILE *f;

    snprintf(name, sizeof(name), "%s/t", host_root());
    f = fopen(name, "r+b");
    assert_non_null(f);
    fseek(f, (long)offset, SEEK_SET);
    fputc(byte, f);
    fclose(f);
}

static void it_is_read_as_it_was_signed(void **state)
{
    (void)state;
    start();
    long fd = sys(__NR_open, str("/t"), O_RDONLY);
    assert_true(fd >= 0);
    assert_reads(fd, SIZE, 0);
    assert_reads(fd, 20, CHUNK - 10);
    assert_reads(fd, 100, SIZE - 100);
    assert_int_equal(read_at(fd, 10, SIZE), 0);
    assert_int_equal(read_at(fd, 200, SIZE - 50), 50);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_END), SIZE);
    close_all(fd);
}

/* A byte, the last of a chunk; the rest is still there. */
static void a_change_while_it_is_open(void **state)
{
    (void)state;
    start();
    long fd = sys(__NR_open, str("/t"), O_RDONLY);
    change(2 * CHUNK - 1, '!');
    assert_reads(fd, CHUNK, 0);
    assert_int_equal(read_at(fd, 1, CHUNK), -EIO);
    assert_non_null(strstr(fake_last_log(), "/t: changed since it was opened"));
    assert_reads(fd, CHUNK, 2 * CHUNK);
    assert_int_equal(read_at(fd, CHUNK + 1, 0), CHUNK); /* what there is before it */
    change(2 * CHUNK - 1, content[2 * CHUNK - 1]);
    assert_reads(fd, SIZE, 0);
    /* Opened again it is verified as well. */
    change(5, '!');
    long again = sys(__NR_open, str("/t"), O_RDONLY);
    if (again >= 0) {
        assert_int_equal(read_at(again, 1, 0), -EIO);
        close_all(again);
    }
    close_all(fd);
}

static void shorter_while_it_is_open(void **state)
{
    char name[4200];

    (void)state;
    start();
    snprintf(name, sizeof(name), "%s/t", host_root());
    long fd = sys(__NR_open, str("/t"), O_RDONLY);
    assert_int_equal(truncate(name, CHUNK + 5), 0);
    assert_reads(fd, CHUNK, 0);
    assert_int_equal(read_at(fd, 1, CHUNK), -EIO);
    assert_int_equal(read_at(fd, 1, SIZE - 1), -EIO);
    assert_int_equal(sys(__NR_fstat, fd, out()), 0);
    assert_int_equal(fixture_stat_at(out()).size, SIZE);
    close_all(fd);
}

static void another_file_is_not_opened(void **state)
{
    (void)state;
    start();
    change(SIZE - 1, '!');
    assert_int_equal(sys(__NR_open, str("/t"), O_RDONLY), -EACCES);
    assert_non_null(strstr(fake_last_log(), "/t: not the file that was signed"));
    host_file("t", "");
    assert_int_equal(sys(__NR_open, str("/t"), O_RDONLY), -EACCES);
    host_file("t", content);
    long fd = sys(__NR_open, str("/t"), O_RDONLY);
    assert_true(fd >= 0);
    close_all(fd);
}

/* ---- lies about reading ------------------------------------------------------------------------------------------ */
static long answer;
static int preads, flip_from;

static long says_answer(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    return nr == __NR_pread64 ? answer : real(nr, a0, a1, a2, a3, a4, a5);
}

static long one_by_one(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    return real(nr, a0, a1, nr == __NR_pread64 && a2 > 1000 ? 1000 : a2, a3, a4, a5);
}

/* Honest at first; from then on the first byte of everything is another one. */
static long flips(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    long result = real(nr, a0, a1, a2, a3, a4, a5);

    if (nr == __NR_pread64 && result > 0 && preads++ >= flip_from)
        *(char *)a1 ^= 1;
    return result;
}

static void lengths_that_cannot_be(void **state)
{
    static const long lies[] = {CHUNK + 1, 0x7fffffff, 0x7fffffffffffffff, -134, -4096, -0x7fffffffffffffff};

    (void)state;
    start();
    long fd = -1;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        answer = lies[i];
        fake_host = says_answer;
        assert_int_equal(sys(__NR_open, str("/t"), O_RDONLY), -EIO);
    }
    fake_host = NULL;
    fd = sys(__NR_open, str("/t"), O_RDONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        answer = lies[i];
        fake_host = says_answer;
        assert_int_equal(read_at(fd, 10, 0), -EIO);
    }
    fake_host = NULL;
    assert_reads(fd, SIZE, 0);
    close_all(fd);
}

static void few_bytes_at_a_time(void **state)
{
    (void)state;
    start();
    fake_host = one_by_one;
    long fd = sys(__NR_open, str("/t"), O_RDONLY);
    assert_true(fd >= 0);
    assert_reads(fd, SIZE, 0);
    fake_host = NULL;
    close_all(fd);
}

/* Whichever read the host begins to lie at: no byte of it reaches the program. */
static void lies_from_any_read_on(void **state)
{
    (void)state;
    start();
    for (flip_from = 0; flip_from < 20; flip_from++) {
        preads = 0;
        fake_host = flips;
        long fd = sys(__NR_open, str("/t"), O_RDONLY);
        assert_true(fd >= 0 || fd == -EACCES);
        for (size_t at = 0; fd >= 0 && at < SIZE; at += 1000) {
            size_t n = at + 1000 < SIZE ? 1000 : SIZE - at;
            long got = read_at(fd, n, at);
            assert_true(got > 0 || got == -EIO);
            if (got > 0)
                assert_memory_equal(peek((size_t)got), content + at, got);
        }
        fake_host = NULL;
        if (fd >= 0)
            close_all(fd);
    }
}

static void no_memory_for_it(void **state)
{
    (void)state;
    start();
    long fd = -ENOMEM;
    for (int budget = 0; budget < 40 && fd < 0; budget++) {
        fake_kmalloc_budget = budget;
        fd = sys(__NR_open, str("/t"), O_RDONLY);
        assert_true(fd >= 0 || fd == -ENOMEM);
    }
    fake_kmalloc_budget = -1;
    assert_true(fd >= 0);
    assert_reads(fd, SIZE, 0);
    close_all(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST_UNSTARTED(it_is_read_as_it_was_signed),
        FS_TEST_UNSTARTED(a_change_while_it_is_open),
        FS_TEST_UNSTARTED(shorter_while_it_is_open),
        FS_TEST_UNSTARTED(another_file_is_not_opened),
        FS_TEST_UNSTARTED(lengths_that_cannot_be),
        FS_TEST_UNSTARTED(few_bytes_at_a_time),
        FS_TEST_UNSTARTED(lies_from_any_read_on),
        FS_TEST_UNSTARTED(no_memory_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
