/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashing what sgx.trusted_files names: files, and all regular files below directories. */
#include "image/internal.h"
#include "image/trusted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64             /* directories in one another; links can make it endless */

static int hash_fd(int fd, uint8_t sha256[32])
{
    static char buffer[1 << 20];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ssize_t n = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) ? 1 : -1;

    while (n > 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
        if (!EVP_DigestUpdate(md, buffer, (size_t)n))
            n = -1;
    if (!n && !EVP_DigestFinal_ex(md, sha256, NULL))
        n = -1;
    EVP_MD_CTX_free(md);
    return (int)n;
}

static int hash_file(const char *path, uint8_t sha256[32], struct image_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return image_fail(error, "%s: cannot read it to hash it: %s", path, strerror(errno));
    int status = hash_fd(fd, sha256);
    int saved = errno;
    close(fd);
    return status ? image_fail(error, "%s: cannot read it to hash it: %s", path, strerror(saved)) : 0;
}

static int add(const char *path, unsigned depth, trusted_fn *fn, void *arg, struct image_error *error);

static int add_directory(const char *path, unsigned depth, trusted_fn *fn, void *arg, struct image_error *error)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort), status = 0;

    if (n < 0)
        return image_fail(error, "%s: cannot list it: %s", path, strerror(errno));
    if (depth == DEPTH_MAX)
        status = image_fail(error, "%s: more than %d directories deep; does a link lead back?", path, DEPTH_MAX);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        char below[PATH_MAX];
        size_t length = strlen(path);
        if (!status && strcmp(name, ".") && strcmp(name, "..")) {
            int used = snprintf(below, sizeof(below), "%s%s%s", path, length && path[length - 1] == '/' ? "" : "/", name);
            status = used < (int)sizeof(below) ? add(below, depth + 1, fn, arg, error)
                                               : image_fail(error, "%s: too long a name below it", path);
        }
        free(names[i]);
    }
    free(names);
    return status;
}

static int add(const char *path, unsigned depth, trusted_fn *fn, void *arg, struct image_error *error)
{
    uint8_t sha256[32];
    struct stat st;

    if (stat(path, &st)) {
        if (depth && errno == ENOENT)
            return 0; /* a link to nowhere in a directory */
        return image_fail(error, "%s: %s", path, strerror(errno));
    }
    if (S_ISDIR(st.st_mode))
        return add_directory(path, depth, fn, arg, error);
    if (!S_ISREG(st.st_mode))
        return depth ? 0 : image_fail(error, "%s: not a regular file or a directory: it has no contents to trust", path);
    if (hash_file(path, sha256, error))
        return -1;
    fn(arg, path, sha256);
    return 0;
}

int trusted_collect(const char *path, trusted_fn *fn, void *arg, struct image_error *error)
{
    return add(path, 0, fn, arg, error);
}
