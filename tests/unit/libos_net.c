/* SPDX-License-Identifier: Apache-2.0
 *
 * Sockets over a host that lies: lengths beyond what was asked for, addresses that are none, control data that does not add up,
 * descriptors that cannot be. What works is tested by tests/programs/sockets.c, natively and in an enclave. */
#include "fs_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static long lie_nr, lie_result;
static int lies;
static void (*lie_memory)(long a1, long a2, long a3, long a4, long a5);

static long liar(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    if (nr != lie_nr) {
        long result = syscall(nr, a0, a1, a2, a3, a4, a5);
        return result == -1 ? -errno : result;
    }
    lies++;
    if (lie_memory)
        lie_memory(a1, a2, a3, a4, a5);
    return lie_result;
}

static void lie(long nr, long result, void (*memory)(long a1, long a2, long a3, long a4, long a5))
{
    lie_nr = nr;
    lie_result = result;
    lie_memory = memory;
    lies = 0;
    fake_host = liar;
}

/* Layout of the one buffer of application memory that a test looks into. */
#define DATA (out())
#define NAME (out() + 8192)
#define LENGTH (out() + 8192 + 256)
#define HEAD (out() + 12288)
#define VECTOR (out() + 12288 + 256)
#define CONTROL (out() + 16384)
#define ALL 20480

static void prepare(uint32_t name_length)
{
    static char bytes[ALL];

    memset(bytes, 'U', sizeof(bytes));
    assert_int_equal(copy_to_user((void *)out(), bytes, sizeof(bytes)), 0);
    assert_int_equal(copy_to_user((void *)LENGTH, &name_length, sizeof(name_length)), 0);
}

static void prepare_message(size_t data, size_t control)
{
    struct iovec vector = {(void *)DATA, data};
    struct msghdr head = {.msg_name = (void *)NAME, .msg_namelen = 128, .msg_iov = (void *)VECTOR, .msg_iovlen = 1,
                          .msg_control = (void *)CONTROL, .msg_controllen = control};

    prepare(128);
    assert_int_equal(copy_to_user((void *)VECTOR, &vector, sizeof(vector)), 0);
    assert_int_equal(copy_to_user((void *)HEAD, &head, sizeof(head)), 0);
}

static void assert_untouched(long from, size_t n)
{
    char *bytes = peek(ALL) + (from - out());
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], 'U');
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++)
        n += sys(__NR_fcntl, fd, F_GETFD) >= 0;
    return n;
}

static long udp(void)
{
    return sys(__NR_socket, AF_INET, SOCK_DGRAM, 0);
}

/* ---- results that cannot be -------------------------------------------------------------------------------------- */
static void results_stay_in_their_range(void **state)
{
    static const long impossible[] = {0x7fffffffffffffff, 1l << 40, -134, -512, -4096, -0x7fffffffffffffff};
    struct { long nr; long args[6]; } rows[] = {
        {__NR_socket, {AF_INET, SOCK_STREAM, 0}},  {__NR_socketpair, {AF_UNIX, SOCK_STREAM, 0, DATA}},
        {__NR_bind, {3, NAME, 16}},                {__NR_connect, {3, NAME, 16}},
        {__NR_listen, {3, 5}},                     {__NR_shutdown, {3, 2}},
        {__NR_accept4, {3, NAME, LENGTH, 0}},      {__NR_sendto, {3, DATA, 100, 0, 0, 0}},
        {__NR_recvfrom, {3, DATA, 100, 0, 0, 0}},  {__NR_recvfrom, {3, DATA, 100, MSG_TRUNC, NAME, LENGTH}},
        {__NR_sendmsg, {3, HEAD, 0}},              {__NR_recvmsg, {3, HEAD, 0}},
        {__NR_getsockname, {3, NAME, LENGTH}},     {__NR_getpeername, {3, NAME, LENGTH}},
        {__NR_getsockopt, {3, SOL_SOCKET, SO_RCVBUF, DATA, LENGTH}},
        {__NR_setsockopt, {3, SOL_SOCKET, SO_RCVBUF, DATA, 4}},
    };

    (void)state;
    assert_int_equal(udp(), 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < sizeof(impossible) / sizeof(impossible[0]); k++) {
            struct sockaddr_in to = {.sin_family = AF_INET};
            struct cmsghdr none = {.cmsg_len = sizeof(none), .cmsg_level = SOL_SOCKET, .cmsg_type = 99};
            prepare_message(100, rows[i].nr == __NR_sendmsg ? sizeof(none) : 0);
            copy_to_user((void *)NAME, &to, sizeof(to));
            copy_to_user((void *)CONTROL, &none, sizeof(none));
            lie(rows[i].nr, impossible[k], NULL);
            assert_int_equal(fixture_call(rows[i].nr, rows[i].args, 6), -EIO);
            assert_int_equal(lies, 1);
            assert_non_null(strstr(fake_last_log(), "cannot be"));
            assert_untouched(DATA, 4096);
        }
    }
    fake_host = NULL;
    assert_int_equal(descriptors(), 4);
}

static void more_than_was_asked_for_never_arrives(void **state)
{
    static const long results[] = {101, 4096, 0x7fffffff};

    (void)state;
    long fd = udp();
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        prepare_message(100, 0);
        lie(__NR_recvfrom, results[i], NULL);
        assert_int_equal(sys(__NR_recvfrom, fd, DATA, 100, 0, 0, 0), -EIO);
        assert_int_equal(sys(__NR_read, fd, DATA, 100), -EIO);
        lie(__NR_recvmsg, results[i], NULL);
        assert_int_equal(sys(__NR_recvmsg, fd, HEAD, 0), -EIO);
        lie(__NR_sendto, results[i], NULL);
        assert_int_equal(sys(__NR_write, fd, DATA, 100), -EIO);
        assert_untouched(DATA, 4096);
        /* With MSG_TRUNC the length may be larger, but no more than the buffer is filled. */
        lie(__NR_recvfrom, results[i], NULL);
        assert_int_equal(sys(__NR_recvfrom, fd, DATA, 100, MSG_TRUNC, 0, 0), results[i]);
        assert_untouched(DATA + 100, 4000);
    }
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */
static uint32_t told_length;
static uint16_t told_family;

static void tell_address(long address, long length)
{
    char bytes[128];
    memset(bytes, 'A', sizeof(bytes));
    memcpy(bytes, &told_family, sizeof(told_family));
    untrusted_write((void *)address, bytes, sizeof(bytes));
    untrusted_write((void *)length, &told_length, sizeof(told_length));
}

static void tell_name(long a1, long a2, long a3, long a4, long a5)
{
    (void)a3, (void)a4, (void)a5;
    tell_address(a1, a2);
}

static void tell_sender(long a1, long a2, long a3, long a4, long a5)
{
    (void)a1, (void)a2, (void)a3;
    tell_address(a4, a5);
}

static void addresses_must_be_addresses(void **state)
{
    struct { uint32_t length; uint16_t family; } rows[] = {
        {129, AF_INET}, {0xffffffff, AF_INET}, {1, AF_INET}, {16, 77}, {0x80000000, AF_UNIX}, {128, 0xffff}};

    (void)state;
    long fd = udp(), listener = sys(__NR_socket, AF_INET, SOCK_STREAM, 0);
    int before = descriptors();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        told_length = rows[i].length;
        told_family = rows[i].family;
        prepare(128);
        lie(__NR_getsockname, 0, tell_name);
        assert_int_equal(sys(__NR_getsockname, fd, NAME, LENGTH), -EIO);
        lie(__NR_getpeername, 0, tell_name);
        assert_int_equal(sys(__NR_getpeername, fd, NAME, LENGTH), -EIO);
        lie(__NR_recvfrom, 10, tell_sender);
        assert_int_equal(sys(__NR_recvfrom, fd, DATA, 100, 0, NAME, LENGTH), -EIO);
        assert_non_null(strstr(fake_last_log(), "malformed socket address"));
        lie(__NR_accept4, dup(1), tell_name);
        assert_int_equal(sys(__NR_accept4, listener, NAME, LENGTH, 0), -EIO);
        assert_untouched(NAME, 128);
        fake_host = NULL;
        assert_int_equal(descriptors(), before);
    }
}

static void no_more_of_an_address_than_there_is_room_for(void **state)
{
    (void)state;
    long fd = udp();
    told_length = 28;
    told_family = AF_INET6;
    prepare(10);
    lie(__NR_getsockname, 0, tell_name);
    assert_int_equal(sys(__NR_getsockname, fd, NAME, LENGTH), 0);
    uint32_t length;
    copy_from_user(&length, (void *)LENGTH, sizeof(length));
    assert_int_equal(length, 28);
    assert_untouched(NAME + 10, 100);
    prepare(0x80000000);
    assert_int_equal(sys(__NR_getsockname, fd, NAME, LENGTH), -EINVAL);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */
static int told_fds[2];

static void tell_fds(long a1, long a2, long a3, long a4, long a5)
{
    (void)a1, (void)a2, (void)a4, (void)a5;
    untrusted_write((void *)a3, told_fds, sizeof(told_fds));
}

static void pairs_are_two_descriptors(void **state)
{
    static const int rows[][2] = {{-1, 5}, {5, -1}, {7, 7}, {-2147483647 - 1, 2}};

    (void)state;
    int before = descriptors();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(told_fds, rows[i], sizeof(told_fds));
        prepare(0);
        lie(__NR_socketpair, 0, tell_fds);
        assert_int_equal(sys(__NR_socketpair, AF_UNIX, SOCK_STREAM, 0, DATA), -EIO);
        assert_untouched(DATA, 8);
        fake_host = NULL;
        assert_int_equal(descriptors(), before);
    }
}

/* ---- options ----------------------------------------------------------------------------------------------------- */
static uint32_t told_option;

static void tell_option(long a1, long a2, long a3, long a4, long a5)
{
    (void)a1, (void)a2, (void)a5;
    untrusted_write((void *)a3, &told_option, sizeof(told_option));
    if (told_length)
        untrusted_write((void *)a4, &told_length, sizeof(told_length));
}

static void options_are_as_long_as_asked(void **state)
{
    static const uint32_t lengths[] = {5, 1024, 1025, 0x7fffffff, 0xffffffff};

    (void)state;
    long fd = udp();
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        told_length = lengths[i];
        prepare(4);
        lie(__NR_getsockopt, 0, tell_option);
        assert_int_equal(sys(__NR_getsockopt, fd, SOL_SOCKET, SO_RCVBUF, DATA, LENGTH), -EIO);
        assert_untouched(DATA, 2048);
    }
    assert_int_equal(sys(__NR_setsockopt, fd, SOL_SOCKET, SO_RCVBUF, DATA, 1025), -EINVAL);
    assert_int_equal(sys(__NR_setsockopt, fd, SOL_SOCKET, SO_RCVBUF, DATA, -1), -EINVAL);
}

static uint32_t option(long fd, int name)
{
    uint32_t value;
    prepare(4);
    assert_int_equal(sys(__NR_getsockopt, fd, SOL_SOCKET, name, DATA, LENGTH), 0);
    copy_from_user(&value, (void *)DATA, sizeof(value));
    return value;
}

static void what_is_known_inside_is_not_the_hosts_to_say(void **state)
{
    (void)state;
    long fd = udp();
    told_length = 0;
    lie(__NR_getsockopt, 0, tell_option);
    told_option = 12345;
    assert_int_equal(option(fd, SO_TYPE), SOCK_DGRAM);
    assert_int_equal(option(fd, SO_DOMAIN), AF_INET);
    assert_int_equal(option(fd, SO_ERROR), EIO);
    told_option = ECONNREFUSED;
    assert_int_equal(option(fd, SO_ERROR), ECONNREFUSED);
}

static void options_with_pointers_are_refused(void **state)
{
    static const int rows[][2] = {
        {SOL_SOCKET, SO_ATTACH_FILTER}, {SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF}, {SOL_SOCKET, SO_ZEROCOPY}, {IPPROTO_IP, 64},
        {IPPROTO_IPV6, 64}, {IPPROTO_TCP, 35}, {263, 1}};

    (void)state;
    long fd = udp();
    fake_host = fixture_no_host;
    prepare(4);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(sys(__NR_setsockopt, fd, rows[i][0], rows[i][1], DATA, 16), -ENOPROTOOPT);
        assert_int_equal(sys(__NR_getsockopt, fd, rows[i][0], rows[i][1], DATA, LENGTH), -ENOPROTOOPT);
    }
}

/* ---- control data ------------------------------------------------------------------------------------------------ */
static struct { struct cmsghdr head; int data[4]; } told_control;
static uint64_t told_control_length;
static uint32_t told_flags;

static void tell_control(long a1, long a2, long a3, long a4, long a5)
{
    struct msghdr head;
    (void)a2, (void)a3, (void)a4, (void)a5;
    untrusted_read(&head, (void *)a1, sizeof(head));
    untrusted_write(head.msg_control, &told_control, sizeof(told_control));
    head.msg_controllen = told_control_length;
    head.msg_namelen = 0;
    head.msg_flags = (int)told_flags;
    untrusted_write((void *)a1, &head, sizeof(head));
}

static struct msghdr head_now(void)
{
    struct msghdr head;
    copy_from_user(&head, (void *)HEAD, sizeof(head));
    return head;
}

static void control_data_adds_up(void **state)
{
    struct { uint64_t length, piece; } rows[] = {
        {65, 20}, {4096, 20}, {0xffffffffffffffff, 20}, {32, 15}, {32, 0}, {32, 33}, {32, 0xffffffffffffffff}, {32, 1ull << 63}};

    (void)state;
    long fd = udp();
    int before = descriptors();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        told_control.head = (struct cmsghdr){.cmsg_len = rows[i].piece, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        told_control_length = rows[i].length;
        told_flags = 0;
        prepare_message(100, 64);
        lie(__NR_recvmsg, 10, tell_control);
        assert_int_equal(sys(__NR_recvmsg, fd, HEAD, 0), -EIO);
        assert_untouched(CONTROL, 64);
        fake_host = NULL;
        assert_int_equal(descriptors(), before);
    }
}

static void descriptors_that_cannot_be_do_not_arrive(void **state)
{
    (void)state;
    long fd = udp();
    int before = descriptors();
    told_control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(8), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    told_control.data[0] = -1;
    told_control.data[1] = -100;
    told_control_length = 24;
    told_flags = 0;
    prepare_message(100, 64);
    lie(__NR_recvmsg, 10, tell_control);
    assert_int_equal(sys(__NR_recvmsg, fd, HEAD, 0), 10);
    fake_host = NULL;
    assert_int_equal(head_now().msg_controllen, 0);
    assert_true(head_now().msg_flags & MSG_CTRUNC);
    assert_int_equal(descriptors(), before);
}

static void flags_are_only_those_that_mean_something(void **state)
{
    (void)state;
    long fd = udp();
    told_control_length = 0;
    told_flags = 0xffffffff;
    prepare_message(100, 64);
    lie(__NR_recvmsg, 10, tell_control);
    assert_int_equal(sys(__NR_recvmsg, fd, HEAD, 0), 10);
    assert_int_equal(head_now().msg_flags, MSG_OOB | MSG_CTRUNC | MSG_TRUNC | MSG_EOR | MSG_ERRQUEUE);
}

/* ---- the program's own mistakes ---------------------------------------------------------------------------------- */
static void mistakes_have_the_errors_that_linux_gives(void **state)
{
    (void)state;
    long fd = udp();
    host_file("plain", "x");
    long file = sys(__NR_open, str("/plain"), O_RDONLY);
    prepare(128);
    assert_int_equal(sys(__NR_listen, 60, 1), -EBADF);
    assert_int_equal(sys(__NR_listen, file, 1), -ENOTSOCK);
    assert_int_equal(sys(__NR_socket, AF_INET, SOCK_STREAM | 0x100, 0), -EINVAL);
    assert_int_equal(sys(__NR_socket, 40, SOCK_STREAM, 0), -EAFNOSUPPORT);
    assert_int_equal(sys(__NR_socket, 16, SOCK_RAW, 4), -EAFNOSUPPORT);
    assert_int_equal(sys(__NR_bind, fd, NAME, 129), -EINVAL);
    assert_int_equal(sys(__NR_bind, fd, NAME, -1), -EINVAL);
    assert_int_equal(sys(__NR_bind, fd, 0x10, 16), -EFAULT);
    assert_int_equal(sys(__NR_connect, fd, 0x10, 16), -EFAULT);
    assert_int_equal(sys(__NR_sendto, fd, 0x10, 16, 0, 0, 0), -EFAULT);
    assert_int_equal(sys(__NR_recvmsg, fd, 0x10, 0), -EFAULT);
    assert_int_equal(sys(__NR_accept4, fd, 0, 0, 0x10), -EINVAL);
    assert_int_equal(sys(__NR_sendto, fd, DATA, 10, 0x4000000, 0, 0), -EOPNOTSUPP); /* MSG_ZEROCOPY */
    assert_int_equal(sys(__NR_pread64, fd, DATA, 10, 0), -ESPIPE);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_SET), -ESPIPE);
}

/* Names of UNIX sockets are the program's, whatever they are on the host; and policy counts. */
static void unix_names_are_names_inside(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/socket"};
    struct sockaddr_un got = {0};
    char host[128];

    (void)state;
    long fd = sys(__NR_socket, AF_UNIX, SOCK_STREAM, 0), client = sys(__NR_socket, AF_UNIX, SOCK_STREAM, 0);
    prepare(sizeof(name));
    copy_to_user((void *)NAME, &name, sizeof(name));
    assert_int_equal(sys(__NR_bind, fd, NAME, sizeof(name)), 0);
    snprintf(host, sizeof(host), "%s/socket", host_root());
    assert_int_equal(access(host, F_OK), 0);
    assert_int_equal(sys(__NR_listen, fd, 1), 0);
    assert_int_equal(sys(__NR_connect, client, NAME, sizeof(name)), 0);
    prepare(sizeof(name));
    assert_int_equal(sys(__NR_getpeername, client, NAME, LENGTH), 0);
    copy_from_user(&got, (void *)NAME, sizeof(got));
    assert_string_equal(got.sun_path, "/socket");
    prepare(sizeof(name));
    long accepted = sys(__NR_accept4, fd, 0, 0, 0);
    assert_int_equal(sys(__NR_getsockname, accepted, NAME, LENGTH), 0);
    copy_from_user(&got, (void *)NAME, sizeof(got));
    assert_string_equal(got.sun_path, "/socket");
    fake_config()->flags &= ~(uint32_t)VIGIL_FLAG_ALLOW_FILES;
    name.sun_path[1] = 'X';
    copy_to_user((void *)NAME, &name, sizeof(name));
    assert_int_equal(sys(__NR_bind, client, NAME, sizeof(name)), -EACCES);
}

static long bound_to(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    long fd = sys(__NR_socket, AF_UNIX, SOCK_DGRAM, 0);

    strcpy(name.sun_path, path);
    copy_to_user((void *)NAME, &name, sizeof(name));
    assert_int_equal(sys(__NR_bind, fd, NAME, sizeof(name)), 0);
    return fd;
}

/* Another process, whose socket has the name `directory` with `end` behind it. */
static void send_from_outside(const char *directory, const char *end)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX}, own = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    snprintf(to.sun_path, sizeof(to.sun_path), "%s/receiver", host_root());
    snprintf(own.sun_path, sizeof(own.sun_path), "%s%s", directory, end);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    assert_int_equal(sendto(fd, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
    close(fd);
    unlink(own.sun_path);
}

/* Who sent it, as the program calls it; it can be answered by that name. */
static void senders_have_names_inside(void **state)
{
    struct sockaddr_un got = {0}, name = {.sun_family = AF_UNIX, .sun_path = "/receiver"};
    int length;

    (void)state;
    long receiver = bound_to("/receiver"), sender = bound_to("/sender");
    prepare(sizeof(name));
    copy_to_user((void *)NAME, &name, sizeof(name));
    assert_int_equal(sys(__NR_sendto, sender, DATA, 3, 0, NAME, sizeof(name)), 3);
    prepare(sizeof(name));
    assert_int_equal(sys(__NR_recvfrom, receiver, DATA, 10, MSG_DONTWAIT, NAME, LENGTH), 3);
    copy_from_user(&got, (void *)NAME, sizeof(got));
    copy_from_user(&length, (void *)LENGTH, sizeof(length));
    assert_string_equal(got.sun_path, "/sender");
    assert_int_equal(length, 2 + sizeof("/sender"));
    assert_int_equal(sys(__NR_sendto, receiver, DATA, 4, 0, NAME, length), 4);
    assert_int_equal(sys(__NR_recvfrom, sender, DATA, 10, MSG_DONTWAIT, 0, 0), 4);

    prepare(sizeof(name));
    copy_to_user((void *)NAME, &name, sizeof(name));
    assert_int_equal(sys(__NR_sendto, sender, DATA, 3, 0, NAME, sizeof(name)), 3);
    close_all(sender); /* the name is known no more */
    prepare(sizeof(name));
    assert_int_equal(sys(__NR_recvfrom, receiver, DATA, 10, MSG_DONTWAIT, NAME, LENGTH), 3);
    copy_from_user(&got, (void *)NAME, sizeof(got));
    assert_string_equal(got.sun_path, "/sender");

    /* Other processes' sockets: one that the program can see, and one that it cannot. */
    send_from_outside(host_root(), "/outside");
    prepare(sizeof(name));
    assert_int_equal(sys(__NR_recvfrom, receiver, DATA, 10, MSG_DONTWAIT, NAME, LENGTH), 3);
    copy_from_user(&got, (void *)NAME, sizeof(got));
    copy_from_user(&length, (void *)LENGTH, sizeof(length));
    assert_string_equal(got.sun_path, "/outside");
    assert_int_equal(length, 2 + sizeof("/outside"));
    send_from_outside(host_root(), ".elsewhere");
    prepare(sizeof(name));
    assert_int_equal(sys(__NR_recvfrom, receiver, DATA, 10, MSG_DONTWAIT, NAME, LENGTH), 3);
    copy_from_user(&length, (void *)LENGTH, sizeof(length));
    assert_int_equal(length, 2);
    close_all(receiver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(results_stay_in_their_range),
        FS_TEST(more_than_was_asked_for_never_arrives),
        FS_TEST(addresses_must_be_addresses),
        FS_TEST(no_more_of_an_address_than_there_is_room_for),
        FS_TEST(pairs_are_two_descriptors),
        FS_TEST(options_are_as_long_as_asked),
        FS_TEST(what_is_known_inside_is_not_the_hosts_to_say),
        FS_TEST(options_with_pointers_are_refused),
        FS_TEST(control_data_adds_up),
        FS_TEST(descriptors_that_cannot_be_do_not_arrive),
        FS_TEST(flags_are_only_those_that_mean_something),
        FS_TEST(mistakes_have_the_errors_that_linux_gives),
        FS_TEST(unix_names_are_names_inside),
        FS_TEST(senders_have_names_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
