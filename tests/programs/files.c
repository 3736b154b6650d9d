/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: files [DIRECTORY]. */
#include "tempdir.h"

#include <limits.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void put(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    CHECK_EQ(close(fd), 0);
}

static void holds(const char *name, const char *text, int line)
{
    char buffer[4096] = { 0 };
    int fd = open(name, O_RDONLY);
    ssize_t n = read(fd, buffer, sizeof(buffer) - 1);
    check_that(n == (ssize_t)strlen(text) && !strcmp(buffer, text), name, __FILE__, line);
    close(fd);
}
#define HOLDS(name, text) holds(name, text, __LINE__)

static void opening(void)
{
    umask(022);
    CHECK_ERRNO(open("absent", O_RDONLY), ENOENT);
    int fd = open("made", O_RDWR | O_CREAT | O_EXCL, 0666);
    CHECK(fd >= 3);
    CHECK_ERRNO(open("made", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0644); /* the umask counts */
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(close(fd), 0);
    CHECK_ERRNO(close(fd), EBADF);
    CHECK_ERRNO(open("made/below", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("made", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    char name[400];
    memset(name, 'n', sizeof(name));
    name[399] = 0;
    CHECK_ERRNO(open(name, O_RDONLY | O_CREAT, 0644), ENAMETOOLONG);
    put("made", "0123456789");
    fd = open("made", O_WRONLY);
    char c;
    CHECK_ERRNO(read(fd, &c, 1), EBADF);
    close(fd);
    fd = open("made", O_RDONLY);
    CHECK_ERRNO(write(fd, &c, 1), EBADF);
    CHECK_ERRNO(ftruncate(fd, 3), EINVAL);
    close(fd);
    fd = open("made", O_RDWR | O_TRUNC);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 0);
    close(fd);
    CHECK_EQ(creat("created", 0600), fd);
    fstat(fd, &st);
    CHECK_EQ(st.st_mode & 0777, 0600);
    close(fd);
}

static void reading_and_writing(void)
{
    char buffer[64] = { 0 };
    int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK_EQ(write(fd, "hello, world", 12), 12);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    CHECK_EQ(lseek(fd, -5, SEEK_END), 7);
    CHECK_EQ(read(fd, buffer, 64), 5);
    CHECK(!memcmp(buffer, "world", 5));
    CHECK_EQ(read(fd, buffer, 64), 0);
    CHECK_EQ(pread(fd, buffer, 4, 1), 4);
    CHECK(!memcmp(buffer, "ello", 4));
    CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 77), EINVAL);
    CHECK_ERRNO(pread(fd, buffer, 4, -1), EINVAL);
    CHECK_EQ(lseek(fd, 20, SEEK_SET), 20); /* past the end: a hole */
    CHECK_EQ(write(fd, "!", 1), 1);
    CHECK_EQ(pread(fd, buffer, 64, 0), 21);
    CHECK(!memcmp(buffer, "Jello, world\0\0\0\0\0\0\0\0!", 21));
    struct iovec out[2] = { { "ab", 2 }, { "cdef", 4 } };
    char x[3] = { 0 }, y[10] = { 0 };
    struct iovec in[2] = { { x, 2 }, { y, 9 } };
    CHECK_EQ(pwritev(fd, out, 2, 100), 6);
    CHECK_EQ(preadv(fd, in, 2, 99), 7);
    CHECK(x[0] == 0 && x[1] == 'a' && !strcmp(y, "bcdef"));
    CHECK_EQ(ftruncate(fd, 5), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 5);
    CHECK_EQ(ftruncate(fd, 8), 0);
    CHECK_EQ(pread(fd, buffer, 64, 0), 8);
    CHECK(!memcmp(buffer, "Jello\0\0\0", 8));
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(fdatasync(fd), 0);
    close(fd);
    CHECK_EQ(truncate("data", 4), 0);
    HOLDS("data", "Jell");
}

static void appending(void)
{
    put("log", "one\n");
    int a = open("log", O_WRONLY | O_APPEND), b = open("log", O_RDWR);
    CHECK_EQ(write(a, "two\n", 4), 4);
    CHECK_EQ(lseek(b, 0, SEEK_END), 8);
    CHECK_EQ(write(b, "three\n", 6), 6);
    CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
    CHECK_EQ(write(a, "four\n", 5), 5); /* at the end, wherever the offset is */
    close(a);
    close(b);
    HOLDS("log", "one\ntwo\nthree\nfour\n");
}

static void large(void)
{
    static char block[100000], back[100000];
    uint64_t state = 9, hash = HASH_START, hash_back = HASH_START;
    int fd = open("large", O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (int i = 0; i < 30; i++) {
        for (size_t j = 0; j < sizeof(block); j++)
            block[j] = random_next(&state);
        CHECK_EQ(write(fd, block, sizeof(block)), sizeof(block));
        hash = hash_bytes(hash, block, sizeof(block));
    }
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    ssize_t n;
    while ((n = read(fd, back, sizeof(back))) > 0)
        hash_back = hash_bytes(hash_back, back, n);
    CHECK_EQ(hash_back, hash);
    printf("3000000 bytes: %016lx\n", hash);
    close(fd);
    static char whole[3000001];
    fd = open("large", O_RDONLY);
    CHECK_EQ(read(fd, whole, sizeof(whole)), 3000000); /* in one call, however small the way out is */
    CHECK_EQ(hash_bytes(HASH_START, whole, 3000000), hash);
    close(fd);
    fd = open("sparse", O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK_EQ(pwrite(fd, "x", 1, 5000000000ll), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 5000000001ll);
    close(fd);
    unlink("sparse");
}

static void descriptors(void)
{
    char buffer[8] = { 0 };
    put("shared", "abcdef");
    int a = open("shared", O_RDONLY | O_CLOEXEC), b = dup(a), c = open("shared", O_RDONLY);
    CHECK_EQ(read(a, buffer, 2), 2);
    CHECK_EQ(read(b, buffer, 2), 2);
    CHECK(!memcmp(buffer, "cd", 2)); /* one offset for both */
    CHECK_EQ(read(c, buffer, 2), 2);
    CHECK(!memcmp(buffer, "ab", 2));
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(b, F_GETFD), 0);
    CHECK_EQ(fcntl(b, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(fcntl(b, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(dup2(c, 50), 50);
    CHECK_EQ(dup2(50, 50), 50);
    CHECK_ERRNO(dup2(77, 50), EBADF);
    CHECK_ERRNO(dup3(50, 50, 0), EINVAL);
    CHECK_EQ(dup3(50, 51, O_CLOEXEC), 51);
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(50, F_DUPFD, 60), 60);
    CHECK_EQ(fcntl(50, F_DUPFD_CLOEXEC, 60), 61);
    CHECK_EQ(fcntl(a, F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(fcntl(a, F_SETFL, O_APPEND), 0);
    CHECK_EQ(fcntl(b, F_GETFL) & O_APPEND, O_APPEND); /* belongs to the open file, not to the descriptor */
    CHECK_ERRNO(fcntl(99, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(a, 9999), EINVAL);
    close(a);
    CHECK_EQ(read(b, buffer, 2), 2);
    CHECK(!memcmp(buffer, "ef", 2));
    int lowest = open("shared", O_RDONLY);
    CHECK_EQ(lowest, a); /* the lowest free number */
    close(lowest), close(b), close(c), close(50), close(51), close(60), close(61);
}

static void names(void)
{
    char target[64] = { 0 };
    struct stat st, st2;
    put("a", "A");
    put("b", "B");
    CHECK_EQ(link("a", "hard"), 0);
    CHECK_EQ(stat("a", &st), 0);
    CHECK_EQ(stat("hard", &st2), 0);
    CHECK_EQ(st.st_nlink, 2);
    CHECK_EQ(st.st_ino, st2.st_ino);
    CHECK_ERRNO(link("a", "b"), EEXIST);
    CHECK_EQ(symlink("a", "soft"), 0);
    CHECK_EQ(readlink("soft", target, sizeof(target)), 1);
    CHECK_EQ(readlink("soft", target, 0 + 1), 1);
    CHECK_ERRNO(readlink("a", target, sizeof(target)), EINVAL);
    CHECK_EQ(lstat("soft", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(stat("soft", &st), 0);
    CHECK(S_ISREG(st.st_mode));
    HOLDS("soft", "A");
    CHECK_ERRNO(open("soft", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_EQ(symlink("loop2", "loop1"), 0);
    CHECK_EQ(symlink("loop1", "loop2"), 0);
    CHECK_ERRNO(open("loop1", O_RDONLY), ELOOP);
    CHECK_EQ(symlink("nowhere", "dangling"), 0);
    CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
    CHECK_EQ(rename("a", "b"), 0);
    HOLDS("b", "A");
    HOLDS("hard", "A");
    CHECK_ERRNO(rename("a", "c"), ENOENT);
    CHECK_EQ(mkdir("sub", 0755), 0);
    CHECK_ERRNO(rename("b", "sub"), EISDIR);
    CHECK_EQ(rename("b", "sub/b"), 0);
    CHECK_EQ(unlink("hard"), 0);
    CHECK_ERRNO(unlink("hard"), ENOENT);
    CHECK_ERRNO(unlink("sub"), EISDIR);
    HOLDS("sub/b", "A");
    HOLDS("./sub//../sub/./b", "A");
    CHECK_ERRNO(access("absent/../sub/b", F_OK), ENOENT);
    CHECK_EQ(unlink("sub/b"), 0);
    CHECK_EQ(rmdir("sub"), 0);
    CHECK_EQ(unlink("soft"), 0);
    unlink("loop1"), unlink("loop2"), unlink("dangling");
}

static void unlinked_but_open(void)
{
    char buffer[8] = { 0 };
    struct stat st;
    int fd = open("ghost", O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK_EQ(write(fd, "boo", 3), 3);
    CHECK_EQ(unlink("ghost"), 0);
    CHECK_ERRNO(access("ghost", F_OK), ENOENT);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(pread(fd, buffer, 8, 0), 3);
    put("ghost", "another");
    CHECK_EQ(pwrite(fd, "!", 1, 3), 1);
    HOLDS("ghost", "another");
    close(fd);
}

static void attributes(void)
{
    struct stat st;
    put("file", "text");
    CHECK_EQ(chmod("file", 0640), 0);
    CHECK_EQ(stat("file", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_EQ(st.st_size, 4);
    CHECK_EQ(st.st_uid, geteuid());
    int fd = open("file", O_RDWR);
    CHECK_EQ(fchmod(fd, 0755), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0755);
    struct timespec times[2] = { { 1000000000, 123456789 }, { 1234567890, 987654321 } };
    CHECK_EQ(futimens(fd, times), 0);
    CHECK_EQ(stat("file", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000000000);
    CHECK_EQ(st.st_mtim.tv_sec, 1234567890);
    CHECK_EQ(st.st_mtim.tv_nsec, 987654321);
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = (struct timespec){ 1500000000, 0 };
    CHECK_EQ(utimensat(AT_FDCWD, "file", times, 0), 0);
    CHECK_EQ(stat("file", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000000000);
    CHECK_EQ(st.st_mtim.tv_sec, 1500000000);
    struct statx stx;
    CHECK_EQ(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &stx), 0);
    CHECK_EQ(stx.stx_size, 4);
    CHECK_EQ(stx.stx_mtime.tv_sec, 1500000000);
    CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx), 0);
    CHECK_EQ(stx.stx_size, 4);
    close(fd);
    CHECK_EQ(access("file", R_OK | W_OK | X_OK), 0);
    CHECK_EQ(chmod("file", 0644), 0);
    CHECK_ERRNO(access("file", X_OK), EACCES);
    CHECK_ERRNO(access("absent", F_OK), ENOENT);
    CHECK_ERRNO(access("file", 64), EINVAL);
}

static void relative_to_directories(void)
{
    struct stat st;
    CHECK_EQ(mkdir("base", 0755), 0);
    int dir = open("base", O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0);
    int fd = openat(dir, "inside", O_WRONLY | O_CREAT, 0644);
    CHECK_EQ(write(fd, "in", 2), 2);
    close(fd);
    HOLDS("base/inside", "in");
    CHECK_EQ(mkdirat(dir, "deeper", 0700), 0);
    CHECK_EQ(fstatat(dir, "inside", &st, 0), 0);
    CHECK_EQ(st.st_size, 2);
    CHECK_EQ(renameat(dir, "inside", dir, "deeper/moved"), 0);
    CHECK_EQ(symlinkat("moved", dir, "deeper/link"), 0);
    HOLDS("base/deeper/link", "in");
    CHECK_EQ(faccessat(dir, "deeper/moved", R_OK, 0), 0);
    CHECK_EQ(unlinkat(dir, "deeper/link", 0), 0);
    CHECK_ERRNO(unlinkat(dir, "deeper", 0), EISDIR);
    CHECK_ERRNO(unlinkat(dir, "deeper", AT_REMOVEDIR), ENOTEMPTY);
    CHECK_EQ(unlinkat(dir, "deeper/moved", 0), 0);
    CHECK_EQ(unlinkat(dir, "deeper", AT_REMOVEDIR), 0);
    CHECK_ERRNO(openat(99, "x", O_RDONLY), EBADF);
    int file = open("file", O_RDONLY);
    CHECK_ERRNO(openat(file, "x", O_RDONLY), ENOTDIR);
    close(file);
    close(dir);
    CHECK_EQ(rmdir("base"), 0);
}

static void copying(void)
{
    char buffer[16] = { 0 };
    put("source", "copy me please");
    int in = open("source", O_RDONLY), out = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
    off_t offset = 5;
    CHECK_EQ(sendfile(out, in, &offset, 2), 2);
    CHECK_EQ(offset, 7);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(sendfile(out, in, NULL, 100), 14);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 14);
    CHECK_EQ(pread(out, buffer, 16, 0), 16);
    CHECK(!memcmp(buffer, "mecopy me please", 16));
    close(in);
    close(out);
}

static void locks(void)
{
    int fd = open("file", O_RDWR);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    lock.l_type = F_RDLCK;
    CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
    CHECK_EQ(lock.l_type, F_UNLCK); /* its own locks are not in the way */
    CHECK_EQ(flock(fd, LOCK_EX), 0);
    CHECK_EQ(flock(fd, LOCK_UN), 0);
    close(fd);
}

static void devices(void)
{
    char buffer[64];
    struct stat st;
    int fd = open("/dev/null", O_RDWR);
    CHECK_EQ(write(fd, "gone", 4), 4);
    CHECK_EQ(read(fd, buffer, 64), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    close(fd);
    memset(buffer, 1, sizeof(buffer));
    fd = open("/dev/zero", O_RDONLY);
    CHECK_EQ(read(fd, buffer, 64), 64);
    CHECK_EQ(hash_bytes(HASH_START, buffer, 64), hash_bytes(HASH_START, (char[64]){ 0 }, 64));
    close(fd);
    fd = open("/dev/full", O_WRONLY);
    CHECK_ERRNO(write(fd, "x", 1), ENOSPC);
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    CHECK_EQ(read(fd, buffer, 64), 64);
    CHECK(hash_bytes(HASH_START, buffer, 64) != hash_bytes(HASH_START, (char[64]){ 0 }, 64));
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "opening", opening },
        { "reading and writing", reading_and_writing },
        { "appending", appending },
        { "large files", large },
        { "descriptors", descriptors },
        { "names", names },
        { "unlinked but open", unlinked_but_open },
        { "attributes", attributes },
        { "relative to directories", relative_to_directories },
        { "copying", copying },
        { "locks", locks },
        { "devices", devices },
    };
    tempdir_enter(argc, argv);
    return RUN_SECTIONS(sections, argc, argv);
}
