/* SPDX-License-Identifier: Apache-2.0
 *
 * The root key of a software processor, which every other key is derived from. It belongs to the user of a machine, as
 * the fuses belong to a processor: what an enclave seals in one run it can unseal in the next. */
#include "softsgx/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

const uint8_t sgx_cpusvn[16] = { 'S', 'O', 'F', 'T', 'S', 'G', 'X', '-', 'I', 'N', 'S', 'E', 'C', 'U', 'R', 'E' };

static uint8_t root_key[SGX_KEY_SIZE], report_keyid[32];
static int init_result;

static int draw(void *to, size_t length)
{
    return getrandom(to, length, 0) == (ssize_t)length ? 0 : -EIO;
}

/* 0: *path is the place of the key and its directory exists. */
static int key_path(char path[PATH_MAX])
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;

    if (data && data[0] == '/')
        n = snprintf(path, PATH_MAX, "%s/vigil/", data);
    else if (home && home[0] == '/')
        n = snprintf(path, PATH_MAX, "%s/.local/share/vigil/", home);
    else
        return -ENOENT;
    if (n < 0 || n > PATH_MAX - 64)
        return -ENAMETOOLONG;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    memcpy(path + n, "softsgx-root.key", sizeof("softsgx-root.key"));
    return 0;
}

static int read_key(const char *path, uint8_t key[SGX_KEY_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
    uint8_t extra;

    if (fd < 0)
        return -errno;
    if (read(fd, key, SGX_KEY_SIZE) != SGX_KEY_SIZE || read(fd, &extra, 1) != 0)
        ret = -EBADMSG;
    close(fd);
    return ret;
}

/* Written in full under another name and then linked: of two processes that come first at the same time one wins, and
 * nobody reads half a key. */
static int make_key(const char *path)
{
    char temporary[PATH_MAX + 32];
    uint8_t key[SGX_KEY_SIZE];
    int fd, ret = draw(key, sizeof(key));

    if (ret)
        return ret;
    snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid());
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (write(fd, key, sizeof(key)) != (ssize_t)sizeof(key) || fsync(fd) < 0)
        ret = -EIO;
    close(fd);
    if (!ret && link(temporary, path) < 0 && errno != EEXIST)
        ret = -errno;
    unlink(temporary);
    return ret;
}

/* An existing key that cannot be used is worth a word: what was sealed under it cannot be opened. Having no place to
 * keep one is not: there is nothing to lose. */
static void warn_unusable(const char *path, int error)
{
    const char *cause = error == -EBADMSG ? "not 16 bytes long" : strerror(-error);

    fprintf(stderr,
            "softsgx: cannot use the root key %s: %s. Using a random key for this process, so earlier sealed data "
            "cannot be opened; repair the file, or delete it to begin anew.\n", path, cause);
}

static int load_root_key(void)
{
    char path[PATH_MAX];
    int ret = key_path(path);

    if (ret)
        return ret;
    ret = read_key(path, root_key);
    if (ret == -ENOENT) {
        ret = make_key(path);
        if (ret)
            return ret;
        ret = read_key(path, root_key);
    }
    if (ret)
        warn_unusable(path, ret);
    return ret;
}

static void init_once(void)
{
    init_result = draw(report_keyid, sizeof(report_keyid));
    if (!init_result && load_root_key() != 0)
        init_result = draw(root_key, sizeof(root_key));
}

int sgx_keys_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_once);
    return init_result;
}

const uint8_t *sgx_report_keyid(void)
{
    return report_keyid;
}

void sgx_derive_key(const struct sgx_keydependencies *dependencies, uint8_t key[SGX_KEY_SIZE])
{
    sgx_aes128_cmac(root_key, dependencies, sizeof(*dependencies), key);
}
