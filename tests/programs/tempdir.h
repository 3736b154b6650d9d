/* SPDX-License-Identifier: Apache-2.0
 *
 * A directory to make files in: the program's first argument, or a new one under TMPDIR that goes away at exit. */
#ifndef TESTS_TEMPDIR_H
#define TESTS_TEMPDIR_H

#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char tempdir_made[4096];

static inline void tempdir_empty(int fd, int depth)
{
    DIR *dir = fdopendir(dup(fd));
    if (!dir)
        return;
    struct dirent *entry;
    rewinddir(dir);
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (!unlinkat(fd, entry->d_name, 0) || depth == 0)
            continue;
        int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (child >= 0) {
            tempdir_empty(child, depth - 1);
            close(child);
            unlinkat(fd, entry->d_name, AT_REMOVEDIR);
        }
    }
    closedir(dir);
}

static void tempdir_remove(void)
{
    int fd = open(tempdir_made, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        tempdir_empty(fd, 8);
        close(fd);
        rmdir(tempdir_made);
    }
}

/* Makes it and goes there. */
static inline void tempdir_enter(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-') {
        REQUIRE(chdir(argv[1]) == 0);
        return;
    }
    const char *where = getenv("TMPDIR");
    snprintf(tempdir_made, sizeof(tempdir_made), "%s/vigil-test-XXXXXX", where ? where : "/tmp");
    REQUIRE(mkdtemp(tempdir_made) != NULL);
    atexit(tempdir_remove);
    REQUIRE(chdir(tempdir_made) == 0);
}

#endif
