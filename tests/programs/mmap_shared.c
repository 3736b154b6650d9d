/* SPDX-License-Identifier: Apache-2.0
 *
 * Mappings of files: private and shared, written back, seen through descriptors, grown, cut. */
#include "check.h"
#include "tempdir.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static int make_file(const char *name, size_t size)
{
    static char bytes[8 * PAGE];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i / PAGE);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, bytes, size), size);
    return fd;
}

static char byte_of(int fd, off_t at)
{
    char byte = 0;

    CHECK_EQ(pread(fd, &byte, 1, at), 1);
    return byte;
}

static void private_mappings_stay_private(void)
{
    int fd = make_file("private", 3 * PAGE);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    REQUIRE(p != MAP_FAILED);
    p[0] = 'X';
    CHECK_EQ(byte_of(fd, 0), 'a');
    CHECK_EQ(madvise(p, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(p[0], 'a');
    CHECK_EQ(munmap(p, 3 * PAGE), 0);
    CHECK_EQ(byte_of(fd, 0), 'a');
    close(fd);
}

static void shared_mappings_reach_the_file(void)
{
    int fd = make_file("shared", 3 * PAGE);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char text[8] = "";

    REQUIRE(p != MAP_FAILED);
    CHECK_EQ(p[PAGE], 'b');
    p[PAGE + 5] = 'X';
    CHECK_EQ(byte_of(fd, PAGE + 5), 'X');               /* read() sees it without msync */
    CHECK_EQ(pwrite(fd, "1234", 4, 2 * PAGE + 10), 4);
    CHECK(!memcmp(p + 2 * PAGE + 10, "1234", 4));       /* and the mapping sees write() */
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    CHECK_EQ(write(fd, "56", 2), 2);
    CHECK(!memcmp(p + 100, "56", 2));
    p[0] = 'Y';
    CHECK_EQ(msync(p, 3 * PAGE, MS_SYNC), 0);
    close(fd);
    p[1] = 'Z';                                         /* the descriptor is not needed any more */
    CHECK_EQ(munmap(p, PAGE), 0);                       /* a part */
    p[2 * PAGE] = 'W';
    CHECK_EQ(munmap(p + PAGE, 2 * PAGE), 0);
    fd = open("shared", O_RDONLY);
    CHECK_EQ(pread(fd, text, 2, 0), 2);
    CHECK(!memcmp(text, "YZ", 2));
    CHECK_EQ(byte_of(fd, 2 * PAGE), 'W');
    CHECK_EQ(byte_of(fd, PAGE), 'b');
    close(fd);
}

static void the_file_does_not_grow(void)
{
    int fd = make_file("short", PAGE + 100);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct stat stat;

    REQUIRE(p != MAP_FAILED);
    CHECK_EQ(p[PAGE + 99], 'b');
    CHECK_EQ(p[PAGE + 100], 0);
    p[PAGE + 50] = 'X';
    p[PAGE + 200] = 'Y';
    CHECK_EQ(munmap(p, 2 * PAGE), 0);
    CHECK_EQ(fstat(fd, &stat), 0);
    CHECK_EQ(stat.st_size, PAGE + 100);
    CHECK_EQ(byte_of(fd, PAGE + 50), 'X');
    close(fd);
}

static void rights_are_the_descriptor_s(void)
{
    int fd = make_file("rights", PAGE), read_only = open("rights", O_RDONLY), write_only = open("rights", O_WRONLY);

    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0) == MAP_FAILED ? -1 : 0, EACCES);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, write_only, 0) == MAP_FAILED ? -1 : 0, EACCES);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED ? -1 : 0, EINVAL);
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK_EQ(pwrite(fd, "new", 3, 7), 3);
    CHECK(!memcmp(p + 7, "new", 3));
    CHECK_EQ(munmap(p, PAGE), 0);
    close(fd);
    close(read_only);
    close(write_only);
}

static void mappings_grow(void)
{
    int fd = make_file("grow", 4 * PAGE);
    char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
    char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    REQUIRE(shared != MAP_FAILED && own != MAP_FAILED);
    shared[0] = 'X';
    own[0] = 'Y';
    shared = mremap(shared, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    own = mremap(own, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(shared != MAP_FAILED && own != MAP_FAILED);
    CHECK_EQ(shared[0], 'X');
    CHECK_EQ(shared[2 * PAGE], 'd');
    CHECK_EQ(own[0], 'Y');
    CHECK_EQ(own[PAGE + 1], 'b');
    shared[2 * PAGE] = 'Z';
    CHECK_EQ(munmap(shared, 3 * PAGE), 0);
    CHECK_EQ(munmap(own, 2 * PAGE), 0);
    CHECK_EQ(byte_of(fd, 3 * PAGE), 'Z');
    CHECK_EQ(byte_of(fd, 0), 'a');
    close(fd);
}

/* Calls that fail, rights that go, and what is put over a mapping. */
static void nothing_is_lost(void)
{
    int fd = make_file("lost", 2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(p != MAP_FAILED && own != MAP_FAILED);
    CHECK_ERRNO(munmap(p + 100, PAGE), EINVAL);
    CHECK_ERRNO(mmap(p + 100, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ? -1 : 0, EINVAL);
    p[0] = 'X';
    p[PAGE] = 'Y';
    CHECK_EQ(msync(p, 2 * PAGE, MS_SYNC), 0);
    CHECK_EQ(byte_of(fd, 0), 'X');
    CHECK_EQ(byte_of(fd, PAGE), 'Y');
    p[1] = 'Z';
    CHECK_EQ(mprotect(p, PAGE, PROT_NONE), 0);
    CHECK_EQ(byte_of(fd, 1), 'Z');
    own[0] = 'o';
    CHECK(mremap(own, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE) == p + PAGE);
    p[PAGE + 1] = 'o';
    CHECK_EQ(munmap(p, 2 * PAGE), 0);
    CHECK_EQ(byte_of(fd, 1), 'Z');
    CHECK_EQ(byte_of(fd, PAGE), 'Y');
    CHECK_EQ(byte_of(fd, PAGE + 1), 'b');
    int read_only = open("lost", O_RDONLY);
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
    CHECK_ERRNO(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_EQ(munmap(p, PAGE), 0);
    close(read_only);
    close(fd);
}

/* A file that is cut and grows again has zeroes, whoever cuts it and however it is mapped. */
static void cut_and_grown(void)
{
    int fd = make_file("cut", 2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    REQUIRE(p != MAP_FAILED);
    p[PAGE] = 'X';
    CHECK_EQ(ftruncate(fd, 100), 0);
    CHECK_EQ(p[99], 'a');
    CHECK_EQ(p[100], 0);
    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    CHECK_EQ(p[200], 0);
    CHECK_EQ(p[PAGE], 0);
    p[PAGE] = 'Y';
    CHECK_EQ(truncate("cut", 50), 0);
    CHECK_EQ(truncate("cut", 2 * PAGE), 0);
    CHECK_EQ(p[PAGE], 0);
    CHECK_EQ(p[60], 0);
    CHECK_EQ(p[40], 'a');
    close(open("cut", O_WRONLY | O_TRUNC));
    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    CHECK_EQ(p[40], 0);
    memset(p, 'z', 2 * PAGE);
    if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE))
        CHECK_EQ(p[7], 0);
    CHECK_EQ(p[PAGE + 7], 'z');
    CHECK_EQ(munmap(p, 2 * PAGE), 0);
    CHECK_EQ(byte_of(fd, PAGE), 'z');
    close(fd);
}

/* What one mapping has changed is in the others after msync, and in copies of the file. */
static void several_mappings(void)
{
    int fd = make_file("several", 3 * PAGE), again = open("several", O_RDWR), to = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
    char *one = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *two = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, again, PAGE);
    off_t from = 0;

    REQUIRE(one != MAP_FAILED && two != MAP_FAILED && to >= 0);
    one[PAGE + 3] = 'X';
    CHECK_EQ(msync(one, 2 * PAGE, MS_SYNC), 0);
    CHECK_EQ(two[3], 'X');
    CHECK_EQ(mprotect(two, PAGE, PROT_READ | PROT_WRITE), 0);
    two[4] = 'Y';
    CHECK_EQ(msync(two, PAGE, MS_ASYNC), 0);
    CHECK_EQ(one[PAGE + 4], 'Y');
    CHECK_EQ(one[PAGE + 3], 'X');
    one[0] = 'S';
    char *own = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK_EQ(own[0], 'S');
    one[1] = 'T';
    CHECK_EQ(sendfile(to, fd, &from, PAGE), PAGE);
    CHECK_EQ(byte_of(to, 0), 'S');
    CHECK_EQ(byte_of(to, 1), 'T');
    from = 0;
    CHECK_EQ(pwrite(to, "new", 3, 0), 3);
    CHECK_EQ(sendfile(again, to, &from, 3), 3);
    CHECK(!memcmp(one, "new", 3));
    CHECK_EQ(munmap(own, PAGE), 0);
    CHECK_EQ(munmap(one, 2 * PAGE), 0);
    CHECK_EQ(munmap(two, 2 * PAGE), 0);
    close(fd);
    close(again);
    close(to);
}

/* Nobody unmaps: the next test looks at the file. */
static void exit_writes_back(void)
{
    int fd = make_file("at_exit", PAGE);
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    REQUIRE(p != MAP_FAILED);
    memcpy(p, "left behind", 11);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(byte_of(fd, 0), 'l');
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "private", private_mappings_stay_private },
        { "shared", shared_mappings_reach_the_file },
        { "size", the_file_does_not_grow },
        { "rights", rights_are_the_descriptor_s },
        { "growth", mappings_grow },
        { "nothing lost", nothing_is_lost },
        { "cut", cut_and_grown },
        { "several", several_mappings },
        { "exit", exit_writes_back },
    };

    tempdir_enter(argc, argv);
    return RUN_SECTIONS(sections, argc, argv);
}
