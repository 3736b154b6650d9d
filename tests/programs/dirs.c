/* SPDX-License-Identifier: Apache-2.0
 *
 * Directories: dirs [DIRECTORY]. */
#include "tempdir.h"

#include <ftw.h>
#include <limits.h>

#define ENTRIES 300

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of a directory, sorted, as one hash; the count goes to *count. */
static uint64_t listing(DIR *dir, int *count)
{
    char *names[ENTRIES + 10];
    struct dirent *entry;
    uint64_t hash = HASH_START;
    *count = 0;
    errno = 0;
    while ((entry = readdir(dir)) && *count < ENTRIES + 10) {
        CHECK(entry->d_ino != 0);
        CHECK(entry->d_type == DT_DIR || entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
        names[(*count)++] = strdup(entry->d_name);
    }
    CHECK_EQ(errno, 0);
    qsort(names, *count, sizeof(names[0]), compare);
    for (int i = 0; i < *count; i++) {
        CHECK(i == 0 || strcmp(names[i], names[i - 1]));
        hash = hash_bytes(hash, names[i], strlen(names[i]) + 1);
    }
    for (int i = 0; i < *count; i++)
        free(names[i]);
    return hash;
}

static void many_entries(void)
{
    char name[256];
    int count;
    CHECK_EQ(mkdir("many", 0755), 0);
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof(name), "many/entry-%d-%.*s", i, i % 150, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        CHECK(fd >= 0);
        close(fd);
    }
    DIR *dir = opendir("many");
    REQUIRE(dir);
    uint64_t first = listing(dir, &count);
    CHECK_EQ(count, ENTRIES + 2);
    rewinddir(dir);
    CHECK_EQ(listing(dir, &count), first);
    printf("%d entries: %016lx\n", count, first);
    rewinddir(dir);
    struct dirent *entry = NULL;
    for (int i = 0; i < 100; i++)
        entry = readdir(dir);
    long place = telldir(dir);
    REQUIRE((entry = readdir(dir)) != NULL);
    strcpy(name, entry->d_name);
    while (readdir(dir))
        ;
    seekdir(dir, place);
    REQUIRE((entry = readdir(dir)) != NULL);
    CHECK(!strcmp(entry->d_name, name));
    closedir(dir);
}

static void removing_while_reading(void)
{
    DIR *dir = opendir("many");
    struct dirent *entry;
    int removed = 0;
    REQUIRE(dir);
    CHECK_ERRNO(rmdir("many"), ENOTEMPTY);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] == 'e')
            removed += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
    CHECK_EQ(removed, ENTRIES);
    closedir(dir);
    CHECK_EQ(rmdir("many"), 0);
    CHECK_ERRNO(rmdir("many"), ENOENT);
}

static void where_we_are(void)
{
    char start[PATH_MAX], here[PATH_MAX], want[PATH_MAX + 64];
    REQUIRE(getcwd(start, sizeof(start)) == start);
    CHECK_EQ(mkdir("one", 0755), 0);
    CHECK_EQ(mkdir("one/two", 0755), 0);
    CHECK_EQ(chdir("one/two"), 0);
    REQUIRE(getcwd(here, sizeof(here)));
    snprintf(want, sizeof(want), "%s/one/two", start);
    CHECK(!strcmp(here, want));
    CHECK(getcwd(here, 3) == NULL && errno == ERANGE);
    int fd = open("..", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(fchdir(fd), 0);
    close(fd);
    REQUIRE(getcwd(here, sizeof(here)));
    snprintf(want, sizeof(want), "%s/one", start);
    CHECK(!strcmp(here, want));
    CHECK_ERRNO(chdir("absent"), ENOENT);
    CHECK_EQ(chdir("two/../../one/./two/.."), 0);
    REQUIRE(getcwd(here, sizeof(here)));
    CHECK(!strcmp(here, want));
    CHECK_EQ(symlink("two", "link"), 0);
    CHECK_EQ(chdir("link"), 0);
    REQUIRE(getcwd(here, sizeof(here)));
    snprintf(want, sizeof(want), "%s/one/two", start);
    CHECK(!strcmp(here, want)); /* the place, not the way there */
    REQUIRE(chdir(start) == 0);
    struct stat a, b;
    CHECK_EQ(stat("one/link/..", &a), 0);
    CHECK_EQ(stat("one", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(stat("/..", &a), 0);
    CHECK_EQ(stat("/", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    char *real = realpath("one/link/../link", NULL);
    CHECK(real && !strcmp(real, want));
    free(real);
}

static void errors(void)
{
    int fd = open("plain", O_WRONLY | O_CREAT, 0644);
    close(fd);
    CHECK_ERRNO(mkdir("one", 0755), EEXIST);
    CHECK_ERRNO(mkdir("plain/sub", 0755), ENOTDIR);
    CHECK_ERRNO(mkdir("absent/sub", 0755), ENOENT);
    CHECK_ERRNO(rmdir("plain"), ENOTDIR);
    CHECK_ERRNO(rename("one", "one/two/three"), EINVAL);
    CHECK_ERRNO(rename("one", "plain"), ENOTDIR);
    CHECK(opendir("plain") == NULL && errno == ENOTDIR);
    CHECK(opendir("absent") == NULL && errno == ENOENT);
    fd = open(".", O_RDONLY | O_DIRECTORY);
    char c;
    CHECK_ERRNO(read(fd, &c, 1), EISDIR);
    CHECK_ERRNO(write(fd, &c, 1), EBADF);
    close(fd);
    CHECK_EQ(rename("one", "renamed"), 0);
    CHECK_EQ(access("renamed/two", F_OK), 0);
    CHECK_EQ(mkdir("empty", 0755), 0);
    CHECK_EQ(rename("renamed", "empty"), 0); /* over an empty directory */
    CHECK_EQ(access("empty/two", F_OK), 0);
}

static int visited, files_seen, deepest;

static int visit(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)path;
    visited++;
    files_seen += type == FTW_F && S_ISREG(st->st_mode);
    if (walk->level > deepest)
        deepest = walk->level;
    return 0;
}

static int delete(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    CHECK_EQ(remove(path), 0);
    return 0;
}

static void tree(void)
{
    char path[1024] = "tree", file[1100];
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(mkdir(path, 0755), 0);
        snprintf(file, sizeof(file), "%s/file", path);
        int fd = open(file, O_WRONLY | O_CREAT, 0644);
        CHECK(fd >= 0);
        close(fd);
        strcat(path, "/a-level-down");
    }
    CHECK_EQ(nftw("tree", visit, 40, FTW_PHYS), 0);
    CHECK_EQ(visited, 40);
    CHECK_EQ(files_seen, 20);
    CHECK_EQ(deepest, 20);
    CHECK_EQ(nftw("tree", delete, 40, FTW_PHYS | FTW_DEPTH), 0);
    CHECK_ERRNO(access("tree", F_OK), ENOENT);
    CHECK_EQ(nftw("empty", delete, 40, FTW_PHYS | FTW_DEPTH), 0);
    CHECK_EQ(unlink("plain"), 0);
}

/* Links to what a process sees as its own, and to files in memory. */
static void read_through(const char *name, const char *want)
{
    char text[64] = "";
    int fd = open(name, O_RDONLY);

    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    CHECK(!strcmp(text, want));
    close(fd);
}

static void links_out(void)
{
    char shared[64], comm[64] = "";
    struct stat one, two;

    snprintf(shared, sizeof(shared), "/dev/shm/dirs-%d", (int)getpid());
    int fd = open("/proc/self/comm", O_RDONLY);
    CHECK(read(fd, comm, sizeof(comm) - 1) > 0);
    close(fd);
    CHECK_EQ(symlink("/proc/self/comm", "own"), 0);
    CHECK_EQ(symlink("own", "own-again"), 0);
    CHECK_EQ(symlink("/proc/thread-self/../comm", "own-relative"), 0);
    read_through("own", comm);
    read_through("own-again", comm);
    CHECK_EQ(symlink(shared, "memory"), 0);
    CHECK_ERRNO(open("memory", O_RDONLY), ENOENT);
    CHECK_ERRNO(stat("memory", &one), ENOENT);
    CHECK_ERRNO(open("memory", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open("memory", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    fd = open("memory", O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "in memory", 9), 9);
    close(fd);
    read_through("memory", "in memory");
    read_through(shared, "in memory");
    CHECK_EQ(stat("memory", &one), 0);
    CHECK_EQ(stat(shared, &two), 0);
    CHECK_EQ(one.st_ino, two.st_ino);
    CHECK_EQ(one.st_size, 9);
    CHECK_EQ(lstat("memory", &two), 0);
    CHECK(S_ISLNK(two.st_mode));
    CHECK_EQ(unlink(shared), 0);
    CHECK_EQ(symlink("/dev/null", "nothing"), 0);
    fd = open("nothing", O_WRONLY | O_TRUNC);
    CHECK_EQ(write(fd, "x", 1), 1);
    close(fd);
    CHECK_EQ(symlink("loop", "loop"), 0);
    CHECK_ERRNO(open("loop", O_RDONLY), ELOOP);
    CHECK_ERRNO(stat("loop", &one), ELOOP);
    CHECK_EQ(symlink("/proc/self", "directory"), 0);
    DIR *d = opendir("directory");
    CHECK(d != NULL);
    if (d)
        closedir(d);
    CHECK_EQ(mkdir("plain", 0700), 0);
    CHECK_EQ(symlink("plain", "to-plain"), 0);
    d = opendir("to-plain");
    CHECK(d != NULL);
    if (d)
        closedir(d);
    for (const char *const *name = (const char *const[]){"own", "own-again", "own-relative", "memory", "nothing", "loop", "directory",
                                                         "to-plain", NULL}; *name; name++)
        CHECK_EQ(unlink(*name), 0);
    CHECK_EQ(rmdir("plain"), 0);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "many entries", many_entries },
        { "removing while reading", removing_while_reading },
        { "where we are", where_we_are },
        { "errors", errors },
        { "a tree", tree },
        { "links out", links_out },
    };
    tempdir_enter(argc, argv);
    return RUN_SECTIONS(sections, argc, argv);
}
