/* SPDX-License-Identifier: Apache-2.0
 *
 * sgx.trusted_files: files whose SHA-256 is part of the measured configuration. When one is opened for the first time all of
 * it is read and compared, and a hash of each 16 KiB of it is kept. Every read after that compares what the host gives
 * with these, in enclave memory and before the program sees it: the host can change the file afterwards, and the program
 * then gets an error, never the change. So a large file costs a thousandth of its size, and not a copy.
 * Opening one for writing is refused. A name is looked for as sgx.allowed_files are: as it is inside, or as the mounts
 * make of it outside. */
#include "libos/fs/locks.h"
#include "libos/fs/sha256.h"
#include "libos/fs/trusted.h"

#define CHUNK (16u << 10)
#define CHUNK_HASH 16            /* bytes kept of a chunk's SHA-256: collisions take 2^64, and a change a second preimage */

/* What a verified file consists of. Made once, kept for ever. */
struct contents {
    uint64_t size;
    uint8_t (*chunk)[CHUNK_HASH];
    struct file_locks locks;     /* of all that have it open */
};

/* Behind an open one. */
struct trusted {
    const struct vigil_trusted *entry;
    struct contents *contents;
    int host_fd;
    lock_t lock;                 /* of what follows */
    uint8_t *buffer;             /* a chunk that has been verified */
    uint64_t number;             /* which; ~0: none */
};

static struct contents **known;  /* by entry */
static lock_t known_lock;

static const struct vigil_trusted *entries(void)
{
    return (const struct vigil_trusted *)((const char *)config() + config()->trusted);
}

static const struct vigil_trusted *find(const char *name)
{
    uint32_t low = 0, high = config()->trusted_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(config_string(entries()[middle].path), name);
        if (!order)
            return &entries()[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct vigil_trusted *trusted_find(const struct path *path)
{
    if (!config()->trusted_count)
        return NULL;
    const struct vigil_trusted *entry = find(path->inside);
    char *host = entry ? NULL : kmalloc(PATH_SIZE);
    if (host && path_normalise(host, PATH_SIZE, "", path->host))
        entry = find(host);
    kfree(host);
    return entry;
}

/* ---- chunks --------------------------------------------------------------------------------------------------------- */
/* A chunk, or what is left of the file, into enclave memory; its length or -errno. */
static long fetch(int host_fd, uint64_t number, uint8_t *buffer)
{
    size_t mark = bounce_mark(), done = 0;
    void *untrusted_chunk = bounce_alloc(CHUNK);
    long got = untrusted_chunk ? 1 : -ENOMEM;

    while (got > 0 && done < CHUNK) {
        got = host_call(__NR_pread64, (long)(CHUNK - done), host_fd, (long)untrusted_chunk, (long)(CHUNK - done),
                        (long)(number * CHUNK + done), 0);
        if (got > 0)
            untrusted_read(buffer + done, untrusted_chunk, (size_t)got);
        done += got > 0 ? (size_t)got : 0;
    }
    bounce_release(mark);
    return got < 0 ? got : (long)done;
}

static void hash_chunk(const uint8_t *buffer, size_t n, uint8_t hash[CHUNK_HASH])
{
    struct sha256 s;
    uint8_t digest[32];

    sha256_init(&s);
    sha256_update(&s, buffer, n);
    sha256_final(&s, digest);
    memcpy(hash, digest, CHUNK_HASH);
}

/* Room for one more chunk's hash. */
static bool grow(struct contents *c, uint64_t chunks)
{
    if (chunks & (chunks - 1))
        return true; /* there is room up to the next power of two */
    uint8_t(*larger)[CHUNK_HASH] = kmalloc((chunks ? chunks * 2 : 1) * CHUNK_HASH);
    if (!larger)
        return false;
    if (chunks)
        memcpy(larger, c->chunk, chunks * CHUNK_HASH);
    kfree(c->chunk);
    c->chunk = larger;
    return true;
}

static void contents_free(struct contents *c)
{
    if (c)
        kfree(c->chunk);
    kfree(c);
}

/* Reads all of the file. NULL and *error: -EACCES if it is another file than the one that was signed. */
static struct contents *verify(const struct vigil_trusted *entry, int host_fd, uint8_t *buffer, int *error)
{
    struct contents *c = kzalloc(sizeof(*c));
    struct sha256 whole;
    uint8_t digest[32];
    long n = CHUNK;

    *error = -ENOMEM;
    sha256_init(&whole);
    for (uint64_t number = 0; c && n == CHUNK; number++) {
        n = fetch(host_fd, number, buffer);
        if (n < 0 || (n && !grow(c, number))) {
            *error = n < 0 ? (int)n : -ENOMEM;
            contents_free(c);
            return NULL;
        }
        sha256_update(&whole, buffer, (size_t)n);
        if (n)
            hash_chunk(buffer, (size_t)n, c->chunk[number]);
        c->size += (uint64_t)n;
    }
    sha256_final(&whole, digest);
    if (c && memcmp(digest, entry->sha256, sizeof(digest))) {
        *error = -EACCES;
        contents_free(c);
        return NULL;
    }
    return c;
}

static struct contents *contents_of(const struct vigil_trusted *entry, int host_fd, uint8_t *buffer, int *error)
{
    uint32_t i = (uint32_t)(entry - entries());
    struct contents *c = __atomic_load_n(&known[i], __ATOMIC_ACQUIRE), *other = NULL;

    if (c)
        return c;
    c = verify(entry, host_fd, buffer, error);
    if (!c)
        return NULL;
    lock(&known_lock);
    if (known[i])
        other = c, c = known[i];
    else
        __atomic_store_n(&known[i], c, __ATOMIC_RELEASE);
    unlock(&known_lock);
    contents_free(other);
    return c;
}

/* Under the lock: makes buffer the chunk. */
static long load(struct trusted *t, uint64_t number)
{
    uint64_t rest = t->contents->size - number * CHUNK, length = rest < CHUNK ? rest : CHUNK;
    uint8_t hash[CHUNK_HASH];

    if (t->number == number)
        return 0;
    t->number = ~0ull;
    long n = fetch(t->host_fd, number, t->buffer);
    if (n < 0)
        return n;
    if ((uint64_t)n >= length) /* what the host has added behind the end is not the file's */
        hash_chunk(t->buffer, length, hash);
    if ((uint64_t)n < length || memcmp(hash, t->contents->chunk[number], CHUNK_HASH)) {
        log_line(VIGIL_LOG_ERROR, "%s: changed since it was opened (it is in sgx.trusted_files): reading fails with EIO",
                 config_string(t->entry->path));
        return -EIO;
    }
    t->number = number;
    return 0;
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */
static long read_at(struct trusted *t, struct io *io, uint64_t offset)
{
    long done = 0, error = 0;

    lock(&t->lock);
    while (io->left && offset < t->contents->size && !error) {
        uint64_t at = offset % CHUNK, n = CHUNK - at;
        if (n > t->contents->size - offset)
            n = t->contents->size - offset;
        error = load(t, offset / CHUNK);
        if (error)
            break;
        if (n > io->left)
            n = io->left;
        long copied = io_put(io, t->buffer + at, n, IO_RUNTIME);
        if (copied < 0)
            error = copied;
        else if (copied < (long)n)
            error = -EFAULT;
        done += copied > 0 ? copied : 0;
        offset += copied > 0 ? (uint64_t)copied : 0;
    }
    unlock(&t->lock);
    return done ? done : error;
}

static long trusted_read(struct file *file, struct io *io, int64_t offset)
{
    if (offset >= 0)
        return read_at(file->object, io, (uint64_t)offset);
    lock(&file->position_lock);
    long result = read_at(file->object, io, (uint64_t)file->position);
    if (result > 0)
        file->position += result;
    unlock(&file->position_lock);
    return result;
}

static long trusted_seek(struct file *file, int64_t offset, int whence)
{
    const struct trusted *t = file->object;
    int64_t size = (int64_t)t->contents->size, base = 0;

    lock(&file->position_lock);
    if (whence == SEEK_CUR)
        base = file->position;
    else if (whence == SEEK_END || whence == SEEK_HOLE)
        base = size;
    int64_t result = whence == SEEK_HOLE ? (offset < 0 || offset >= size ? -ENXIO : size)
                   : whence == SEEK_DATA ? (offset < 0 || offset >= size ? -ENXIO : offset)
                   : offset > INT64_MAX - base || base + offset < 0 ? -EINVAL : base + offset;
    if (result >= 0)
        file->position = result;
    unlock(&file->position_lock);
    return result;
}

/* Owner and times are the host's word, as for every file of its; kind and size are not. */
static long trusted_stat(struct file *file, struct stat *stat)
{
    const struct trusted *t = file->object;
    long status = stat_host(t->host_fd, NULL, 0, stat);

    if (status)
        return status;
    stat->st_mode = S_IFREG | (stat->st_mode & 07777);
    stat->st_size = (long)t->contents->size;
    return 0;
}

static uint32_t trusted_ready(struct file *file)
{
    (void)file;
    return 0x145; /* POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM: as every regular file */
}

static void release(struct trusted *t)
{
    host_close(t->host_fd);
    kfree(t->buffer);
    kfree(t);
}

static struct file_locks *trusted_locks(struct file *file)
{
    return &((const struct trusted *)file->object)->contents->locks;
}

static void trusted_release(struct file *file)
{
    const struct trusted *t = file->object;

    file_locks_release(&t->contents->locks, file);
    range_locks_release(&t->contents->locks, file);
    release(file->object);
}

static const struct file_ops trusted_ops = {
    .read = trusted_read,
    .seek = trusted_seek,
    .stat = trusted_stat,
    .locks = trusted_locks,
    .ready = trusted_ready,
    .release = trusted_release,
};

static bool wants_change(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC || (flags & O_TMPFILE) == O_TMPFILE;
}

int trusted_refuse(const struct vigil_trusted *entry)
{
    log_line(VIGIL_LOG_ERROR, "%s: is to be changed or opened for writing, but it is in sgx.trusted_files: access denied; what the "
             "program changes belongs into sgx.allowed_files", config_string(entry->path));
    return -EACCES;
}

int trusted_check(const struct vigil_trusted *entry, int flags)
{
    return wants_change(flags) ? trusted_refuse(entry) : 0;
}

struct file *trusted_file_new(const struct vigil_trusted *entry, int host_fd, uint32_t flags, const char *path, int *error)
{
    struct trusted *t = kzalloc(sizeof(*t));

    *error = -ENOMEM;
    if (!t || !(t->buffer = kmalloc(CHUNK))) {
        kfree(t);
        host_close(host_fd);
        return NULL;
    }
    t->entry = entry;
    t->host_fd = host_fd;
    t->number = ~0ull;
    t->contents = contents_of(entry, host_fd, t->buffer, error);
    if (*error == -EACCES && !t->contents)
        log_line(VIGIL_LOG_ERROR, "%s: not the file that was signed (sgx.trusted_files): access denied; put that one back, or "
                 "sign the manifest again", config_string(entry->path));
    struct file *file = t->contents ? file_new(&trusted_ops, flags, path) : NULL;
    if (!file) {
        release(t);
        return NULL;
    }
    file->object = t;
    file->type = S_IFREG;
    *error = 0;
    return file;
}

int trusted_init(void)
{
    known = config()->trusted_count ? kzalloc(config()->trusted_count * sizeof(struct contents *)) : NULL;
    return config()->trusted_count && !known ? -ENOMEM : 0;
}
