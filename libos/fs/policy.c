/* SPDX-License-Identifier: Apache-2.0
 *
 * sgx.allowed_files and sgx.file_check_policy. An entry names a path inside, or (as Gramine's URIs do) the host path
 * that the mounts make of it; with a '/' at its end it stands for everything below too. The policy guards opening
 * files and changing what is under a name. Existence, attributes and listings are the host's word in any case. */
#include "libos/fs/fs.h"

#define NOTED_MAX 512 /* paths remembered, a power of two */

struct entry { char *text; size_t length; bool below; };
static struct entry *entries;
static uint32_t entry_count;
static char *entrypoint;

static lock_t noted_lock;
static uint64_t noted[NOTED_MAX];
static uint32_t noted_count;
static bool said_quiet;

/* "a/" -> "a" and everything below; "." -> everything relative. */
static bool matches(const struct entry *e, const char *path)
{
    size_t n = e->length;

    if (!n) /* the directory relative names are relative to */
        return e->below ? path[0] != '/' && strncmp(path, "..", 2) : !path[0];
    if (n == 1 && e->text[0] == '/')
        return e->below ? path[0] == '/' : !path[1];
    return !strncmp(path, e->text, n) && (!path[n] || (e->below && path[n] == '/'));
}

static bool listed(const char *path)
{
    for (uint32_t i = 0; i < entry_count; i++)
        if (matches(&entries[i], path))
            return true;
    return false;
}

static bool allowed(const struct path *path)
{
    if (entrypoint && !strcmp(path->inside, entrypoint))
        return true;
    if (listed(path->inside))
        return true;
    char *host = kmalloc(PATH_SIZE);
    bool result = host && path_normalise(host, PATH_SIZE, "", path->host) && listed(host);
    kfree(host);
    return result;
}

static uint64_t hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
    return h ? h : 1;
}

/* True the first time; when the set is full nothing is new any more. */
static bool note(const char *text)
{
    uint64_t h = hash(text);
    uint32_t at = h & (NOTED_MAX - 1);
    bool is_new = false;

    lock(&noted_lock);
    while (noted[at] && noted[at] != h)
        at = (at + 1) & (NOTED_MAX - 1);
    if (!noted[at] && noted_count < NOTED_MAX - 1) {
        noted[at] = h;
        noted_count++;
        is_new = true;
    }
    unlock(&noted_lock);
    return is_new;
}

static void say_allowed(const struct path *path)
{
    if (!(config()->flags & VIGIL_FLAG_QUIET_FILES)) {
        if (log_enabled(VIGIL_LOG_WARNING) && !allowed(path) && note(path->inside))
            log_line(VIGIL_LOG_WARNING, "%s: allowed without any check (sgx.file_check_policy is allow_all_but_log)",
                     path->inside);
        return;
    }
    if (!__atomic_exchange_n(&said_quiet, true, __ATOMIC_RELAXED))
        log_line(VIGIL_LOG_WARNING, "all files of the host are allowed, and nothing the host says in them is checked");
}

bool policy_strict(void)
{
    return !(config()->flags & VIGIL_FLAG_ALLOW_FILES);
}

bool policy_allows(const struct path *path)
{
    return !policy_strict() || allowed(path);
}

int policy_check(const struct path *path)
{
    if (policy_strict()) {
        if (allowed(path))
            return 0;
        log_line(VIGIL_LOG_ERROR, "%s: access denied (sgx.file_check_policy is strict): to allow it add \"file:%s\" to "
                 "sgx.allowed_files", path->inside, path->inside);
        return -EACCES;
    }
    say_allowed(path);
    return 0;
}

static int add_entry(struct entry *e, const char *text, char *scratch)
{
    size_t n = strlen(text);

    if (!path_normalise(scratch, PATH_SIZE, "", text)) {
        log_line(VIGIL_LOG_ERROR, "sgx.allowed_files: an entry is too long");
        return -EINVAL;
    }
    e->length = strlen(scratch);
    e->text = kmalloc(e->length + 1);
    if (!e->text)
        return -ENOMEM;
    memcpy(e->text, scratch, e->length + 1);
    e->below = n && text[n - 1] == '/';
    return 0;
}

static int keep_entrypoint(char *scratch)
{
    const char *name = config_string(config()->entrypoint);

    entrypoint = NULL;
    if (!name || !path_normalise(scratch, PATH_SIZE, fs_cwd(), name))
        return 0;
    entrypoint = kmalloc(strlen(scratch) + 1);
    if (!entrypoint)
        return -ENOMEM;
    memcpy(entrypoint, scratch, strlen(scratch) + 1);
    return 0;
}

int policy_init(void)
{
    const struct vigil_config *c = config();
    const uint32_t *offsets = (const uint32_t *)((const char *)c + c->allowed.offset);
    char *scratch = kmalloc(PATH_SIZE);
    int error = 0;

    entry_count = noted_count = 0;
    said_quiet = false;
    memset(noted, 0, sizeof(noted));
    entries = kzalloc((c->allowed.count + 1) * sizeof(*entries));
    if (!scratch || !entries)
        error = -ENOMEM;
    for (uint32_t i = 0; i < c->allowed.count && !error; i++) {
        const char *text = config_string(offsets[i]);
        error = text ? add_entry(&entries[i], text, scratch) : -EINVAL;
        entry_count += !error;
    }
    if (!error)
        error = keep_entrypoint(scratch);
    kfree(scratch);
    return error;
}
