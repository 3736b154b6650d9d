/* SPDX-License-Identifier: Apache-2.0
 *
 * What takes long to work out and comes out the same each time is kept in $XDG_CACHE_HOME/vigil: the digest of the question, the
 * answer, and a digest of both. A file that is damaged, somebody else's or no file is not taken. There are 256 places for each
 * kind, so that the cache does not grow. */
#include "image/remember.h"
#include "image/key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST 32

struct kept {
    size_t size; /* of bytes */
    uint8_t bytes[DIGEST + IMAGE_ANSWER_MAX + DIGEST]; /* of the question; the answer; of both */
};

static bool digest(const void *data, size_t size, uint8_t out[DIGEST])
{
    return EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool place_of(const char *kind, const struct kept *kept, char *path, size_t size)
{
    if (!image_user_directory("XDG_CACHE_HOME", ".cache", path, size) || *path != '/')
        return false;
    sprintf(path + strlen(path), "/%.32s-%02x", kind, kept->bytes[0]);
    return true;
}

/* The digest of the question is there, and room for the answer. */
static bool start(struct kept *kept, const void *question, size_t question_size, size_t answer_size)
{
    kept->size = DIGEST + answer_size + DIGEST;
    return answer_size <= IMAGE_ANSWER_MAX && digest(question, question_size, kept->bytes);
}

static bool read_whole(const char *path, struct kept *found, size_t size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size == (off_t)size &&
              read(fd, found->bytes, size) == (ssize_t)size;

    if (fd >= 0)
        close(fd);
    return ok;
}

bool image_recall(const char *kind, const void *question, size_t question_size, void *answer, size_t answer_size)
{
    struct kept wanted, found;
    uint8_t check[DIGEST];
    char path[4096];

    if (!start(&wanted, question, question_size, answer_size) || !place_of(kind, &wanted, path, sizeof(path)) ||
        !read_whole(path, &found, wanted.size) || memcmp(found.bytes, wanted.bytes, DIGEST) ||
        !digest(found.bytes, DIGEST + answer_size, check) || memcmp(found.bytes + DIGEST + answer_size, check, DIGEST))
        return false;
    memcpy(answer, found.bytes + DIGEST, answer_size);
    return true;
}

/* Under another name and then moved: whoever reads finds all of it. */
static void write_whole(const char *path, const struct kept *kept)
{
    char temporary[4200];

    snprintf(temporary, sizeof(temporary), "%s", path);
    *strrchr(temporary, '/') = 0;
    if (image_make_directories(temporary))
        return;
    snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    bool ok = write(fd, kept->bytes, kept->size) == (ssize_t)kept->size;
    if (close(fd) || !ok || rename(temporary, path))
        unlink(temporary);
}

void image_remember(const char *kind, const void *question, size_t question_size, const void *answer, size_t answer_size)
{
    struct kept kept;
    char path[4096];

    if (!start(&kept, question, question_size, answer_size) || !place_of(kind, &kept, path, sizeof(path)))
        return;
    memcpy(kept.bytes + DIGEST, answer, answer_size);
    if (digest(kept.bytes, DIGEST + answer_size, kept.bytes + DIGEST + answer_size))
        write_whole(path, &kept);
}
