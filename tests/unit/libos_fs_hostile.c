/* SPDX-License-Identifier: Apache-2.0
 *
 * A host that lies: lengths beyond what was asked for, negative sizes, broken records, unknown descriptors. The program
 * gets an error or less than it wanted, never memory that is not its own. */
#include "fs_fixture.h"

#include <errno.h>
#include <linux/poll.h>
#include <linux/stat.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The call to lie about, what to answer, and what to do to its memory first. Everything else is the real host's. */
static long lie_nr, lie_result;
static int lies, lie_after;
static void (*lie_memory)(long a0, long a1, long a2, long a3);

static long real(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    long result = syscall(nr, a0, a1, a2, a3, a4, a5);
    return result == -1 ? -errno : result;
}

static long liar(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    if (nr != lie_nr || lies++ < lie_after)
        return real(nr, a0, a1, a2, a3, a4, a5);
    if (lie_memory)
        lie_memory(a0, a1, a2, a3);
    return lie_result;
}

static void lie(long nr, long result, void (*memory)(long a0, long a1, long a2, long a3))
{
    lie_nr = nr;
    lie_result = result;
    lie_memory = memory;
    lies = lie_after = 0;
    fake_host = liar;
}

static void fill_out(void)
{
    char bytes[4096];
    memset(bytes, 'U', sizeof(bytes));
    assert_int_equal(copy_to_user((void *)out(), bytes, sizeof(bytes)), 0);
}

static void assert_untouched(size_t from)
{
    char *bytes = peek(4096);
    for (size_t i = from; i < 4096; i++)
        assert_int_equal(bytes[i], 'U');
}

/* ---- results beyond their range ---------------------------------------------------------------------------------- */
static const long impossible[] = {101, 4096, 0x7fffffff, 0x7fffffffffffffff, -134, -512, -4096, -0x7fffffffffffffff};
#define EACH_IMPOSSIBLE for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)

static void a_read_never_gives_more_than_was_asked(void **state)
{
    (void)state;
    host_file("a", "0123456789");
    long fd = sys(__NR_open, str("/a"), O_RDONLY), vec = (long)map(4096);
    uint64_t v[2] = {(uint64_t)out(), 100};
    assert_int_equal(copy_to_user((void *)vec, v, sizeof(v)), 0);
    EACH_IMPOSSIBLE {
        fill_out();
        lie(__NR_read, impossible[i], NULL);
        assert_int_equal(sys(__NR_read, fd, out(), 100), -EIO);
        assert_int_equal(sys(__NR_readv, fd, vec, 1), -EIO);
        assert_int_equal(lies, 2);
        lie(__NR_pread64, impossible[i], NULL);
        assert_int_equal(sys(__NR_pread64, fd, out(), 100, 0), -EIO);
        assert_int_equal(lies, 1);
        assert_untouched(0);
        assert_non_null(strstr(fake_last_log(), "cannot be"));
    }
    fake_host = NULL;
    close_all(fd);
}

static void a_write_never_wrote_more_than_there_was(void **state)
{
    (void)state;
    long fd = sys(__NR_open, str("/a"), O_RDWR | O_CREAT, 0600);
    EACH_IMPOSSIBLE {
        lie(__NR_write, impossible[i], NULL);
        assert_int_equal(sys(__NR_write, fd, out(), 100), -EIO);
        lie(__NR_pwrite64, impossible[i], NULL);
        assert_int_equal(sys(__NR_pwrite64, fd, out(), 100, 0), -EIO);
        assert_int_equal(lies, 1);
    }
    fake_host = NULL;
    close_all(fd);
}

static void other_results_stay_in_their_range(void **state)
{
    struct { long nr, result; long args[5]; } rows[] = {
        {__NR_lseek, -600, {3, 0, SEEK_SET}},
        {__NR_openat, 1l << 40, {AT_FDCWD, 0, O_RDONLY}},
        {__NR_openat, -4000, {AT_FDCWD, 0, O_RDONLY}},
        {__NR_ftruncate, 1, {3, 0}},
        {__NR_fsync, 7, {3}},
        {__NR_fchmod, 0600, {3, 0600}},
        {__NR_flock, 5, {3, 1}},
        {__NR_sendfile, 101, {3, 3, 0, 100}},
        {__NR_copy_file_range, 101, {3, 0, 3, 0, 100}},
        {__NR_fallocate, 1, {3, 0, 0, 10}},
    };
    (void)state;
    host_file("a", "0123456789");
    long fd = sys(__NR_open, str("/a"), O_RDWR);
    assert_int_equal(fd, 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].nr == __NR_openat)
            rows[i].args[1] = str("/a");
        lie(rows[i].nr, rows[i].result, NULL);
        assert_int_equal(fixture_call(rows[i].nr, rows[i].args, 5), -EIO);
        assert_int_equal(lies, 1);
        fake_host = NULL;
    }
    lie(__NR_umask, 01000, NULL);
    assert_int_equal(sys(__NR_umask, 027), 022); /* the program's mask is known inside */
    assert_int_equal(sys(__NR_umask, 022), 027);
    fake_host = NULL;
    assert_int_equal(sys(__NR_open, str("/a"), O_RDONLY), 4); /* and no descriptor was lost */
    close_all(fd, 4);
}

static void readlink_is_as_long_as_the_buffer_at_most(void **state)
{
    (void)state;
    host_link("target", "link");
    fill_out();
    EACH_IMPOSSIBLE {
        lie(__NR_readlinkat, impossible[i], NULL);
        assert_int_equal(sys(__NR_readlink, str("/link"), out(), 100), -EIO);
        assert_untouched(0);
    }
    lie(__NR_readlinkat, 5000, NULL);
    assert_int_equal(sys(__NR_readlink, str("/link"), out(), 60000), -EIO);
    fake_host = NULL;
}

/* ---- structures -------------------------------------------------------------------------------------------------- */
static size_t poke_at;
static uint64_t poke_value;
static size_t poke_size;

static void poke_fstat(long a0, long a1, long a2, long a3)
{
    (void)a2, (void)a3;
    real(__NR_fstat, a0, a1, 0, 0, 0, 0);
    memcpy((char *)a1 + poke_at, &poke_value, poke_size);
}

static void attributes_must_make_sense(void **state)
{
    const struct { size_t at, size; uint64_t value; } rows[] = {
        {24, 4, 0170000 | 0644},             /* an unknown type */
        {24, 4, 0100000 | 0x10000},          /* bits that are no mode */
        {48, 8, (uint64_t)-1},               /* st_size */
        {56, 8, 0}, {56, 8, (uint64_t)-4096}, /* st_blksize */
        {64, 8, (uint64_t)-1},               /* st_blocks */
        {80, 8, 1000000000}, {96, 8, 1000000000}, {112, 8, ~0ull},
    };
    (void)state;
    host_file("a", "1");
    long fd = sys(__NR_open, str("/a"), O_RDONLY);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        poke_at = rows[i].at;
        poke_size = rows[i].size;
        poke_value = rows[i].value;
        fill_out();
        lie(__NR_fstat, 0, poke_fstat);
        assert_int_equal(sys(__NR_fstat, fd, out()), -EIO);
        assert_int_equal(lies, 1);
        assert_untouched(0);
        lie(__NR_fstat, 0, poke_fstat);
        assert_int_equal(sys(__NR_newfstatat, fd, str(""), out(), AT_EMPTY_PATH), -EIO);
    }
    fake_host = NULL;
    close_all(fd);
}

/* What the host leaves in padding does not get through. */
static void garbage_around_attributes(long a0, long a1, long a2, long a3)
{
    (void)a2, (void)a3;
    real(__NR_fstat, a0, a1, 0, 0, 0, 0);
    memset((char *)a1 + 36, 0xee, 4);
    memset((char *)a1 + 120, 0xee, 24);
}

static void padding_is_cleared(void **state)
{
    (void)state;
    host_file("a", "1");
    long fd = sys(__NR_open, str("/a"), O_RDONLY);
    lie(__NR_fstat, 0, garbage_around_attributes);
    assert_int_equal(sys(__NR_fstat, fd, out()), 0);
    assert_memory_equal(peek(144) + 36, "\0\0\0\0", 4);
    for (int i = 120; i < 144; i++)
        assert_int_equal(peek(144)[i], 0);
    fake_host = NULL;
    close_all(fd);
}

static const unsigned char *record;
static size_t record_size;

static void give_records(long a0, long a1, long a2, long a3)
{
    (void)a0, (void)a2, (void)a3;
    memcpy((void *)a1, record, record_size);
}

#define HEAD(length) 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, length, 0, 8

static void listings_must_be_whole_records(void **state)
{
    static const unsigned char too_short[] = {HEAD(16), 'a', 0, 0, 0, 0};
    static const unsigned char too_long[] = {HEAD(32), 'a', 0, 0, 0, 0};
    static const unsigned char zero[] = {HEAD(0), 'a', 0, 0, 0, 0};
    static const unsigned char unaligned[] = {HEAD(23), 'a', 0, 0, 0, HEAD(25), 'b', 0, 0, 0, 0, 0};
    static const unsigned char no_end[] = {HEAD(24), 'a', 'b', 'c', 'd', 'e'};
    static const unsigned char no_name[] = {HEAD(24), 0, 'b', 'c', 'd', 'e'};
    static const unsigned char slash[] = {HEAD(24), '.', '/', 'x', 0, 0};
    static const unsigned char cut[] = {HEAD(24), 'a', 0, 0, 0, 0, 1, 2, 3};
    static const unsigned char good[] = {HEAD(24), 'a', 0, 0, 0, 0, HEAD(24), 'b', 'c', 0, 0, 0};
    const struct { const unsigned char *bytes; size_t size; } rows[] = {
        {too_short, sizeof(too_short)}, {too_long, sizeof(too_long)}, {zero, sizeof(zero)},
        {unaligned, sizeof(unaligned)}, {no_end, sizeof(no_end)}, {no_name, sizeof(no_name)},
        {slash, sizeof(slash)}, {cut, sizeof(cut)},
    };
    (void)state;
    long fd = sys(__NR_open, str("/"), O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        record = rows[i].bytes;
        record_size = rows[i].size;
        fill_out();
        lie(__NR_getdents64, (long)record_size, give_records);
        assert_int_equal(sys(__NR_getdents64, fd, out(), record_size), -EIO); /* exactly: a look beyond is seen */
        assert_int_equal(sys(__NR_getdents, fd, out(), record_size), -EIO);
        assert_int_equal(lies, 2);
        assert_untouched(0);
    }
    record = good;
    record_size = sizeof(good);
    fill_out();
    lie(__NR_getdents64, sizeof(good), give_records);
    assert_int_equal(sys(__NR_getdents64, fd, out(), 1000), sizeof(good));
    assert_untouched(sizeof(good));
    lie(__NR_getdents64, 1001, NULL);
    assert_int_equal(sys(__NR_getdents64, fd, out(), 1000), -EIO);
    fake_host = NULL;
    close_all(fd);
}

/* ---- readiness --------------------------------------------------------------------------------------------------- */
static void every_bit(long a0, long a1, long a2, long a3)
{
    struct pollfd *fds = (void *)a0;
    (void)a2, (void)a3;
    for (long i = 0; i < a1; i++)
        fds[i] = (struct pollfd){.fd = 77, .events = -1, .revents = -1};
}

static void poll_believes_only_what_was_asked(void **state)
{
    struct pollfd fds[2], back[2];
    (void)state;
    host_file("a", "1");
    long fd = sys(__NR_open, str("/a"), O_RDONLY), at = (long)map(4096);
    fds[0] = (struct pollfd){.fd = (int)fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = (int)fd, .events = POLLOUT};
    assert_int_equal(copy_to_user((void *)at, fds, sizeof(fds)), 0);
    lie(__NR_ppoll, 2, every_bit);
    assert_int_equal(sys(__NR_poll, at, 2, 0), 2);
    assert_int_equal(copy_from_user(back, (void *)at, sizeof(back)), 0);
    assert_int_equal(back[0].fd, fd);
    assert_int_equal(back[0].events, POLLIN);
    assert_int_equal(back[0].revents, POLLIN | POLLERR | POLLHUP);
    assert_int_equal(back[1].revents, POLLOUT | POLLERR | POLLHUP);
    lie(__NR_ppoll, 3, every_bit);
    assert_int_equal(sys(__NR_poll, at, 2, 0), -EIO);
    fake_host = NULL;
    close_all(fd);
}

/* What the host was told last, and first, by epoll_ctl: its names for an interest. */
static uint64_t host_id, host_id_before;

static long notes_ids(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    if (nr == __NR_epoll_ctl && a1 != EPOLL_CTL_DEL) {
        host_id_before = host_id;
        host_id = ((struct epoll_event *)a3)->data.u64;
    }
    return real(nr, a0, a1, a2, a3, a4, a5);
}

static void strange_events(long a0, long a1, long a2, long a3)
{
    struct epoll_event *events = (void *)a1;
    (void)a0, (void)a2, (void)a3;
    events[0] = (struct epoll_event){.events = ~0u, .data.u64 = host_id};
    events[1] = (struct epoll_event){.events = ~0u, .data.u64 = 0xdeadbeef};
    events[2] = (struct epoll_event){.events = EPOLLOUT, .data.u64 = host_id};
}

static void epoll_believes_only_what_it_watches(void **state)
{
    struct epoll_event want = {.events = EPOLLIN, .data.u64 = 0x1234567890}, got[4];
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char name[32];
    snprintf(name, sizeof(name), "pipe");
    fixture_fifo(name);
    long fd = sys(__NR_open, str("/pipe"), O_RDWR), set = sys(__NR_epoll_create1, 0), at = (long)map(4096);
    assert_int_equal(copy_to_user((void *)at, &want, sizeof(want)), 0);
    fake_host = notes_ids;
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, fd, at), 0);
    lie(__NR_epoll_pwait, 3, strange_events);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), 1);
    assert_int_equal(copy_from_user(got, (void *)at, sizeof(got)), 0);
    assert_int_equal(got[0].events, EPOLLIN | EPOLLERR | EPOLLHUP);
    assert_int_equal(got[0].data.u64, 0x1234567890);
    lie(__NR_epoll_pwait, 5, strange_events);
    assert_int_equal(sys(__NR_epoll_wait, set, at, 4, 0), -EIO);
    fake_host = NULL;
    close_all(fd, set);
    close(ends[0]);
    close(ends[1]);
}

static void the_same_twice(long a0, long a1, long a2, long a3)
{
    struct epoll_event *events = (void *)a1;
    (void)a0, (void)a2, (void)a3;
    events[0] = events[1] = (struct epoll_event){.events = EPOLLIN, .data.u64 = host_id};
}

static void what_is_over(long a0, long a1, long a2, long a3)
{
    struct epoll_event *events = (void *)a1;
    (void)a0, (void)a2, (void)a3;
    events[0] = (struct epoll_event){.events = EPOLLIN, .data.u64 = host_id_before};
}

/* A program gives a one-shot's file to one thread and relies on it that no other thread gets it. */
static void a_shot_is_fired_once(void **state)
{
    struct epoll_event want = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 77}, got[4];
    (void)state;
    fixture_fifo("shot");
    long fd = sys(__NR_open, str("/shot"), O_RDWR), set = sys(__NR_epoll_create1, 0), at = (long)map(4096), to = at + 1024;
    assert_int_equal(copy_to_user((void *)at, &want, sizeof(want)), 0);
    fake_host = notes_ids;
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_ADD, fd, at), 0);
    lie(__NR_epoll_pwait, 2, the_same_twice);
    assert_int_equal(sys(__NR_epoll_wait, set, to, 4, 0), 1); /* within one answer */
    assert_int_equal(sys(__NR_epoll_wait, set, to, 4, 0), 0); /* and in the next */
    assert_int_equal(lies, 2);
    fake_host = notes_ids;
    assert_int_equal(sys(__NR_epoll_ctl, set, EPOLL_CTL_MOD, fd, at), 0);
    lie(__NR_epoll_pwait, 1, what_is_over);
    assert_int_equal(sys(__NR_epoll_wait, set, to, 4, 0), 0); /* an answer to the question before */
    fake_host = NULL;
    assert_int_equal(sys(__NR_write, fd, str("x"), 1), 1);
    assert_int_equal(sys(__NR_epoll_wait, set, to, 4, 1000), 1); /* armed all the same */
    assert_int_equal(copy_from_user(got, (void *)to, sizeof(got)), 0);
    assert_int_equal(got[0].data.u64, 77);
    assert_int_equal(sys(__NR_epoll_wait, set, to, 4, 0), 0);
    close_all(fd, set);
}

/* ---- any result for any call ------------------------------------------------------------------------------------- */
static uint64_t seed;

static uint64_t next_random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 24;
}

static long random_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    static const long results[] = {0, 1, 2, 3, 24, 100, 4096, 65536, 1 << 20, -1, -2, -4, -9, -11, -32, -133, -134,
                                   -512, -4095, -4096, 0x7fffffff, 0x80000000, 1l << 40, INT64_MAX, INT64_MIN};
    (void)nr, (void)a5;
    /* Scribbles over what it was given to fill in; the bounce memory is a MiB and begins at a page. */
    const long args[] = {a0, a1, a2, a3, a4};
    for (int i = 0; i < 5; i++)
        if (fixture_in_bounce(args[i]) && next_random() % 2)
            for (size_t k = 0; k < 64; k++)
                ((unsigned char *)args[i])[k] = (unsigned char)next_random();
    /* EINTR for ever would only be a host that does not answer. */
    long result = results[next_random() % (sizeof(results) / sizeof(results[0]))];
    return result == -EINTR ? -EIO : result;
}

static void no_answer_reaches_beyond_the_buffers(void **state)
{
    static const struct { long nr, a1, a2, a3; } calls[] = {
        {__NR_read, 'o', 64, 0}, {__NR_pread64, 'o', 64, 0}, {__NR_write, 'o', 64, 0}, {__NR_fstat, 'o', 0, 0},
        {__NR_lseek, 1, 1, 0}, {__NR_getdents64, 'o', 64, 0}, {__NR_ioctl, 0x5413, 'o', 0},
        {__NR_ioctl, 0x541b, 'o', 0},
        {__NR_fcntl, 3, 0, 0}, {__NR_fcntl, 5, 'o', 0}, {__NR_fstatfs, 'o', 0, 0}, {__NR_fsync, 0, 0, 0},
        {__NR_stat, 'o', 0, 0}, {__NR_readlink, 'o', 64, 0}, {__NR_access, 0, 0, 0}, {__NR_statfs, 'o', 0, 0},
        {__NR_mkdir, 0700, 0, 0}, {__NR_chdir, 0, 0, 0}, {__NR_open, 0, 0, 0}, {__NR_unlink, 0, 0, 0},
    };
    (void)state;
    seed = 12345;
    host_file("a", "0123456789");
    for (int round = 0; round < 3000; round++) {
        size_t which = next_random() % (sizeof(calls) / sizeof(calls[0]));
        bool by_name = which >= 12;
        fake_host = NULL;
        long fd = sys(__NR_open, str(which == 5 ? "/" : "/a"), O_RDONLY);
        assert_true(fd >= 0);
        fill_out();
        fake_host = random_host;
        long first = by_name ? str("/a") : fd;
        long result = sys(calls[which].nr, first, calls[which].a1 == 'o' ? out() : calls[which].a1,
                          calls[which].a2 == 'o' ? out() : calls[which].a2, calls[which].a3);
        assert_true(result >= -133 || result == -512);
        assert_untouched(160); /* the largest structure asked for */
        if (calls[which].nr == __NR_open && result >= 0)
            fixture_forget(result);
        fake_host = NULL;
        sys(__NR_chdir, str("/"));
        close_all(fd);
    }
}

static void expired_often(long a0, long a1, long a2, long a3)
{
    (void)a0, (void)a2, (void)a3;
    *(uint64_t *)a1 = 1000;
}

/* The host may say so late, but not that a timer has expired that is not due, or more often than it can have. */
static void a_timer_expires_by_the_clock(void **state)
{
    const int64_t later[4] = {0, 0, 3600, 0}, often[4] = {0, 20000000, 0, 1};
    (void)state;
    long fd = sys(__NR_timerfd_create, 1 /* CLOCK_MONOTONIC */, O_NONBLOCK), at = (long)map(4096);
    assert_int_equal(sys(__NR_read, fd, out(), 8), -EAGAIN);
    assert_int_equal(copy_to_user((void *)at, later, sizeof(later)), 0);
    assert_int_equal(sys(__NR_timerfd_settime, fd, 0, at, 0), 0);
    lie(__NR_read, 8, expired_often);
    assert_int_equal(sys(__NR_read, fd, out(), 8), -EIO);
    assert_int_equal(copy_to_user((void *)at, often, sizeof(often)), 0);
    assert_int_equal(sys(__NR_timerfd_settime, fd, 0, at, 0), 0);
    usleep(70000);
    assert_int_equal(sys(__NR_read, fd, out(), 8), 8);
    uint64_t count = *(uint64_t *)peek(8);
    assert_true(count >= 4 && count < 100); /* not the host's 1000 */
    EACH_IMPOSSIBLE {
        lie(__NR_timerfd_settime, impossible[i], NULL);
        assert_int_equal(sys(__NR_timerfd_settime, fd, 0, at, 0), -EIO);
    }
    lie(__NR_timerfd_create, -600, NULL);
    assert_int_equal(sys(__NR_timerfd_create, 1, 0), -EIO);
    fake_host = NULL;
    close_all(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(a_read_never_gives_more_than_was_asked),
        FS_TEST(a_write_never_wrote_more_than_there_was),
        FS_TEST(other_results_stay_in_their_range),
        FS_TEST(readlink_is_as_long_as_the_buffer_at_most),
        FS_TEST(attributes_must_make_sense),
        FS_TEST(padding_is_cleared),
        FS_TEST(listings_must_be_whole_records),
        FS_TEST(poll_believes_only_what_was_asked),
        FS_TEST(epoll_believes_only_what_it_watches),
        FS_TEST(a_shot_is_fired_once),
        FS_TEST(no_answer_reaches_beyond_the_buffers),
        FS_TEST(a_timer_expires_by_the_clock),
    };
    return cmocka_run_group_tests_name("fs hostile", tests, NULL, NULL);
}
