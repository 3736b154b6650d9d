/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests that are wrong: one line that names the file, the place, the cause; and never a crash. */
#include "image_fixture.h"

#include "image/internal.h"

#include <unistd.h>

#define ENTRY "libos.entrypoint = \"/bin/app\"\n"

/* What is wrong stands in the second line unless place says otherwise. */
static const struct { const char *text, *place, *says; } rows[] = {
    /* syntax */
    {ENTRY "[sgx\n", ":2:", "not valid TOML"},
    {ENTRY "sgx.debug = \n", ":2:", "not valid TOML"},
    {ENTRY "sgx.debug = yes\n", ":2:", "not valid TOML"},
    {ENTRY "loader.argv = [ \"a\"\n", "", "not valid TOML"},
    {ENTRY "loader.log_file = \"unended\n", ":2:", "not valid TOML"},
    {ENTRY "loader.log_file = \"\xff\xfe\"\n", ":2:", "not valid TOML"},
    {ENTRY "sgx.debug = true\nsgx.debug = true\n", ":3:", "not valid TOML"},
    {ENTRY "{% if x %}\n", ":2:", "not valid TOML"},
    /* what the reader itself took for impossible */
    {ENTRY "[a.=\n", ":2:", "not valid TOML"},
    {ENTRY "fs.mount\xd2\x87 = 1\n", ":2:", "not valid TOML"},
    {ENTRY "\xc3\xa9 = 1\n", ":2:", "not valid TOML"},
    /* what is missing */
    {"", "", "libos.entrypoint"},
    {"# nothing\n", "", "libos.entrypoint"},
    {"loader.entrypoint.uri = \"file:x\"\n", "", "libos.entrypoint"},
    /* keys that are not there */
    {ENTRY "sgx.enclav_size = \"64M\"\n", ":2:", "sgx.enclav_size; did you mean sgx.enclave_size?"},
    {ENTRY "sgx.thread_num = 4\n", ":2:", "sgx.thread_num"},
    {ENTRY "sgx.max_thread = 4\n", ":2:", "did you mean sgx.max_threads?"},
    {ENTRY "loader.arg = []\n", ":2:", "did you mean loader.argv?"},
    {ENTRY "loader.insecure__use_cmdline_args = true\n", ":2:", "did you mean loader.insecure__use_cmdline_argv?"},
    {ENTRY "fs.mount.x.path = \"/\"\n", ":2:", "did you mean fs.mounts?"},
    {ENTRY "sys.brk.size = \"1M\"\n", ":2:", "sys.brk.size; did you mean sys."},
    {ENTRY "[sgx]\ndebug = true\n[sgx.nothing]\n", ":4:", "sgx.nothing"},
    {ENTRY "\"a\\nb\\u001b[2J\" = 1\n", ":2:", "unknown key a?b?[2J"},
    {ENTRY "[loadr]\nargv = []\n", ":2:", "unknown key loadr; did you mean loader?"},
    {ENTRY "[sgz]\ndebug = true\n", ":2:", "did you mean sgx?"},
    {ENTRY "[sys.stak]\nsize = 1\n", ":2:", "did you mean sys.stack?"},
    {ENTRY "sgx.enable_stat = true\n", ":2:", "did you mean sgx.enable_stats?"},
    {"libos.entrypint = \"/bin/app\"\n", ":1:", "did you mean libos.entrypoint?"},
    /* types */
    {"libos.entrypoint = 1\n", ":1:", "a string, not an integer"},
    {"libos.entrypoint = []\n", ":1:", "a string, not an array"},
    {"libos.entrypoint = \"\"\n", ":1:", "empty"},
    {"libos = \"/bin/app\"\n", ":1:", "a table, not a string"},
    {ENTRY "sgx.debug = \"true\"\n", ":2:", "true or false, not a string"},
    {ENTRY "sgx.debug = 1\n", ":2:", "true or false, not an integer"},
    {ENTRY "sgx.use_exinfo = {}\n", ":2:", "true or false, not a table"},
    {ENTRY "sgx.max_threads = \"4\"\n", ":2:", "an integer, not a string"},
    {ENTRY "sgx.max_threads = 4.5\n", ":2:", "an integer"},
    {ENTRY "sgx.enclave_size = true\n", ":2:", "a size such as \"256M\""},
    {ENTRY "sgx.enclave_size = 1979-05-27\n", ":2:", "a size such as \"256M\""},
    {ENTRY "loader.argv = \"a b\"\n", ":2:", "an array of strings, not a string"},
    {ENTRY "loader.argv = [ \"a\", 1 ]\n", ":2:", "loader.argv[]"},
    {ENTRY "loader.argv = [ \"a\\u0000b\" ]\n", ":2:", "NUL"},
    {ENTRY "loader.env = []\n", ":2:", "loader.env must be a table"},
    {ENTRY "loader.env.\"A=B\" = \"c\"\n", ":2:", "environment variable"},
    {ENTRY "loader.env.\"\" = \"c\"\n", ":2:", "environment variable"},
    {ENTRY "loader.env.\"A\\u0000B\" = { passthrough = true }\n", ":2:", "environment variable"},
    {ENTRY "loader.env.A = 1\n", ":2:", "loader.env.A"},
    {ENTRY "loader.env.A = { value = 1 }\n", ":2:", "loader.env.A.value"},
    {ENTRY "loader.env.A = { passthrough = \"yes\" }\n", ":2:", "loader.env.A.passthrough"},
    {ENTRY "loader.env.A = { value = \"x\", passthrough = true }\n", ":2:", "loader.env.A"},
    {ENTRY "loader.env.A = {}\n", ":2:", "loader.env.A"},
    {ENTRY "loader.env.A = { pass = true }\n", ":2:", "loader.env.A"},
    {ENTRY "loader.log_level = \"loud\"\n", ":2:", "none, error, warning, debug, trace or all"},
    {ENTRY "fs.root = \"/\"\n", ":2:", "fs.root must be a table"},
    {ENTRY "fs.root = { type = \"encrypted\", uri = \"file:x\" }\n", ":2:", "chroot"},
    {ENTRY "fs.root = { path = \"/x\", uri = \"file:x\" }\n", ":2:", "fs.root.path"},
    {ENTRY "fs.root = { uri = \"dev:tty\" }\n", ":2:", "file:"},
    {ENTRY "fs.mounts = { path = \"/x\", uri = \"file:x\" }\n", ":2:", "an array of tables"},
    {ENTRY "fs.mounts = [ \"file:x\" ]\n", ":2:", "fs.mounts[]"},
    {ENTRY "fs.mounts = [ { path = \"/x\" } ]\n", ":2:", "uri"},
    {ENTRY "fs.mounts = [ { uri = \"file:x\" } ]\n", ":2:", "path"},
    {ENTRY "fs.mounts = [ { path = \"x\", uri = \"file:x\" } ]\n", ":2:", "absolute path"},
    {ENTRY "fs.mounts = [ { path = \"/x\", uri = \"file:\" } ]\n", ":2:", "names no path"},
    {ENTRY "fs.mounts = [ { path = \"/x\", uri = \"file:x\", key = \"k\" } ]\n", ":2:", "fs.mounts[].key"},
    {ENTRY "sgx.allowed_files = \"file:x\"\n", ":2:", "an array of \"file:...\" strings"},
    {ENTRY "sgx.allowed_files = [ 1 ]\n", ":2:", "sgx.allowed_files[]"},
    {ENTRY "sgx.allowed_files = [ \"http://x\" ]\n", ":2:", "file:"},
    {ENTRY "sgx.file_check_policy = \"lax\"\n", ":2:", "strict or allow_all_but_log"},
    /* sizes */
    {ENTRY "sgx.enclave_size = \"100M\"\n", ":2:", "power of two"},
    {ENTRY "sgx.enclave_size = 0\n", ":2:", "power of two"},
    {ENTRY "sgx.enclave_size = \"8M\"\n", ":2:", "too small"},
    {ENTRY "sgx.enclave_size = \"4096\"\n", ":2:", "too small"},
    {ENTRY "sgx.enclave_size = -1\n", ":2:", "negative"},
    {ENTRY "sgx.enclave_size = \"-1\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"M\"\n", ":2:", "not a size"},
    {ENTRY "sys.brk.max_size = \"K\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"0x4000000\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \" 64M\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"+64M\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"64M\\u0000\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"64MB\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"64T\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"64 M\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"99999999999999999999\"\n", ":2:", "not a size"},
    {ENTRY "sgx.enclave_size = \"17179869184G\"\n", ":2:", "not a size"}, /* 2^64 */
    {ENTRY "sgx.enclave_size = 9223372036854775808\n", ":2:", ""},
    {ENTRY "sgx.enclave_size = \"1024G\"\n", "", "sgx.enclave_size"},
    {ENTRY "sgx.max_threads = 0\n", ":2:", "between 1 and 4096"},
    {ENTRY "sgx.max_threads = -4\n", ":2:", "between 1 and 4096"},
    {ENTRY "sgx.max_threads = 100000\n", ":2:", "between 1 and 4096"},
    {ENTRY "sys.stack.size = \"0\"\n", "", "sys.stack.size"},
    {ENTRY "sys.stack.size = \"1000\"\n", "", "sys.stack.size"},
    {ENTRY "sys.stack.size = \"1G\"\n", "", "sys.stack.size"},
    {ENTRY "sys.brk.max_size = \"100\"\n", "", "sys.brk.max_size"},
    {ENTRY "sys.brk.max_size = \"1G\"\n", "", "sys.brk.max_size"},
};

static void each_fault_is_named(void **state)
{
    const char *path = fx_path("bad.manifest");
    char where[300];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vigil_config *config;
        struct image_error error = {""};
        fx_write(path, rows[i].text, strlen(rows[i].text));
        if (!manifest_load(path, &config, &error))
            fail_msg("row %zu: accepted: %s", i, rows[i].text);
        snprintf(where, sizeof(where), "%s%s", path, *rows[i].place ? rows[i].place : ":");
        fx_check_message(&error, where);
        fx_check_message(&error, rows[i].says);
    }
}

static void refused(const char *path, const char *says)
{
    struct vigil_config *config;
    struct image_error error = {""};

    assert_int_equal(manifest_load(path, &config, &error), -1);
    fx_check_message(&error, path);
    fx_check_message(&error, says);
}

static void files_that_are_no_files(void **state)
{
    (void)state;
    refused(fx_path("no-such.manifest"), "No such file");
    refused(fx_path(""), "directory");
    fx_write(fx_path("file"), "x", 1);
    refused(fx_path("file/x.manifest"), "Not a directory");
    fx_write(fx_path("zeros.manifest"), (char[100]){0}, 100);
    refused(fx_path("zeros.manifest"), "");
    fx_write(fx_path("program"), "\177ELF\2\1\1", 7);
    refused(fx_path("program"), "`vigil run -- /");
    fx_write(fx_path("image.vigil"), "viglimg1\0\0", 10);
    refused(fx_path("image.vigil"), "signed image");
    /* Not cut off where reading stops. */
    fx_write(fx_path("large.manifest"), ENTRY "#", sizeof(ENTRY));
    assert_int_equal(truncate(fx_path("large.manifest"), 20 << 20), 0);
    refused(fx_path("large.manifest"), "16M");
}

/* The parser recurses: a manifest must not be able to run it out of stack. */
static void deep_nesting_is_refused(void **state)
{
    enum { DEPTH = 200000 };
    char *text = malloc(DEPTH + 64);
    const char *path = fx_path("deep.manifest");
    int n;

    (void)state;
    n = sprintf(text, ENTRY "loader.argv = ");
    memset(text + n, '[', DEPTH);
    fx_write(path, text, (size_t)n + DEPTH);
    refused(path, "");
    free(text);
}

/* It nests tables as well, without a bound in the parser. In each place where a key can stand, quotes around it. */
static void long_dotted_keys_are_refused(void **state)
{
    enum { PARTS = 100000 };
    static const char *const before[] = {
        "", "[", "[[", "x = { ", "y = [ { ", "\"\"=''''a'''''\n", "x = \"\"\"\\\"\"\"\"\"\n", "#'\n",
        "x = [ '''a'''', { ", "'\\'.\"\\\"\".",
    };
    const char *path = fx_path("dotted.manifest");
    char *text = malloc(2 * PARTS + 64);

    (void)state;
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        int n = sprintf(text, "%sx", before[i]);
        for (int k = 0; k < PARTS; k++)
            memcpy(text + n + 2 * k, ".x", 2);
        memcpy(text + n + 2 * PARTS, "=1\n", 3);
        fx_write(path, text, (size_t)n + 2 * PARTS + 3);
        refused(path, strchr(before[i], '\n') ? ":2: a key with more" : ":1: a key with more");
    }
    free(text);
}

static void dots_elsewhere_do_not_count(void **state)
{
    char text[8192], *p = text + sprintf(text, ENTRY "loader.argv = [");
    const char *path = fx_path("dots.manifest");
    struct vigil_config *config;
    struct image_error error = {""};

    (void)state;
    for (int i = 0; i < 100; i++)
        p += sprintf(p, " 'a.b.c', \"d.e.\\\".f\", '''.''', ");
    p += sprintf(p, "] # ");
    for (int i = 0; i < 100; i++)
        *p++ = '.';
    fx_write(path, text, (size_t)(p - text));
    if (manifest_load(path, &config, &error))
        fail_msg("%s", error.text);
    assert_int_equal(config->argv.count, 300);
    free(config);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* A good manifest with a few bytes changed, removed or doubled: refused with a message, or well formed. */
static void spoiled_manifests_do_no_harm(void **state)
{
    static const char good[] =
        "libos.entrypoint = \"/bin/app\"\nloader.argv = [\"app\", \"-x\", 'y']\nloader.log_level = \"warning\"\n"
        "loader.env.A = \"1\"\nloader.env.B = { value = \"2\" }\nloader.env.C = { passthrough = true }\n"
        "fs.root.uri = \"file:/\"\nfs.mounts = [ { path = \"/d\", uri = \"file:d\" } ]\nfs.start_dir = \"/d\"\n"
        "sgx.enclave_size = \"64M\"\nsgx.max_threads = 8\nsgx.debug = true\nsys.stack.size = \"64K\"\n"
        "sgx.allowed_files = [ \"file:d/\", \"file:e\" ]\nsgx.file_check_policy = \"strict\"\n";
    const char *path = fx_path("spoiled.manifest");
    uint64_t seed = 0x5eed;
    unsigned accepted = 0, refusals = 0;

    (void)state;
    for (int round = 0; round < 4000; round++) {
        char text[2 * sizeof(good)];
        size_t n = sizeof(good) - 1;
        memcpy(text, good, n);
        for (uint64_t edits = 1 + next_random(&seed) % 3; edits; edits--) {
            size_t at = next_random(&seed) % n;
            switch (next_random(&seed) % 4) {
            case 0: text[at] = (char)next_random(&seed); break;
            case 1: text[at] = "[]{}=\".#'\n\\0"[next_random(&seed) % 12]; break;
            case 2: memmove(text + at, text + at + 1, n - at - 1); n--; break;
            case 3: memmove(text + at + 1, text + at, n - at); n++; break;
            }
        }
        struct vigil_config *config;
        struct image_error error = {""};
        fx_write(path, text, n);
        if (manifest_load(path, &config, &error)) {
            assert_non_null(strstr(error.text, path));
            refusals++;
            continue;
        }
        if (config_check(config, config->size, &error))
            fail_msg("accepted, but not well formed: %s", error.text);
        free(config);
        accepted++;
    }
    assert_true(accepted > 100 && refusals > 1000);
}

/* The blob is checked on its own too, because signed files carry it. */
static void malformed_configurations_are_refused(void **state)
{
    struct vigil_config *good = fx_config(VIGIL_FLAG_DEBUG);
    size_t size = good->size;
    struct vigil_config *c = malloc(size + 8);
    struct image_error error;

    (void)state;
    for (size_t at = size; at < size + 8; at += 4) /* what lies behind the blob looks like its own */
        memcpy((char *)c + at, &good->entrypoint, 4);
#define BREAK(statement)                                                    \
    do {                                                                    \
        memcpy(c, good, size);                                              \
        statement;                                                          \
        error.text[0] = 0;                                                  \
        if (!config_check(c, size, &error))                                 \
            fail_msg("accepted: %s", #statement);                           \
        fx_check_message(&error, NULL);                                     \
    } while (0)
    assert_int_equal(config_check(good, size, &error), 0);
    BREAK(c->magic ^= 1);
    BREAK(c->size = (uint32_t)size + 1);
    BREAK(c->size = sizeof(*c) - 1);
    BREAK(c->size = 0);
    BREAK(c->entrypoint = 0);
    BREAK(c->entrypoint = (uint32_t)size);
    BREAK(c->entrypoint = 8);
    BREAK(c->entrypoint = ~0u);
    BREAK(c->log_file = (uint32_t)size + 100);
    BREAK(c->start_dir = 1);
    BREAK((c->argv.offset = 8, c->argv.count = 1));
    BREAK((c->argv.offset = (uint32_t)size, c->argv.count = 1));
    BREAK((memcpy((char *)c + (size & ~3ul), &c->entrypoint, 4),
           c->argv.offset = (uint32_t)size & ~3u, c->argv.count = 1));
    BREAK((c->argv.offset = ~3u, c->argv.count = 1));
    BREAK((c->env.offset = c->mounts + 1, c->env.count = 1));
    BREAK((c->env.offset = c->mounts, c->env.count = ~0u));
    BREAK((c->env_pass.offset = c->mounts, c->env_pass.count = 0x40000001u));
    BREAK((c->allowed.offset = 0, c->allowed.count = 1));
    BREAK(c->mount_count = 0);
    BREAK(c->mount_count = 0x20000001u);
    BREAK(c->mounts = (uint32_t)size - 4);
    BREAK(c->mounts += 2);
    BREAK(c->mounts = 0);
    BREAK(((struct vigil_mount *)((char *)c + c->mounts))->path = ~0u);
    BREAK(((struct vigil_mount *)((char *)c + c->mounts))->host = 8);
    BREAK(c->enclave_size = 0);
    BREAK(c->enclave_size = 24u << 20);
    BREAK(c->enclave_size = 1u << 20);
    BREAK(c->enclave_size = 1ull << 63);
    BREAK(c->max_threads = 0);
    BREAK(c->max_threads = ~0u);
    BREAK(c->stack_size = 0);
    BREAK(c->stack_size = 4097);
    BREAK(c->stack_size = ~0ull - 4095);
    BREAK(c->brk_max_size = 1);
    BREAK(c->brk_max_size = ~0ull - 4095);
    BREAK(c->log_level = 6);
    /* The last string without its end: found by cutting the blob inside it. */
    for (size_t n = sizeof(*c); n < size; n++) {
        struct vigil_config *cut = malloc(n);
        memcpy(cut, good, n);
        cut->size = (uint32_t)n;
        (void)config_check(cut, n, &error);
        free(cut);
    }
    free(c);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_named),
        cmocka_unit_test(files_that_are_no_files),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(long_dotted_keys_are_refused),
        cmocka_unit_test(dots_elsewhere_do_not_count),
        cmocka_unit_test(spoiled_manifests_do_no_harm),
        cmocka_unit_test(malformed_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
