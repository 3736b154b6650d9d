/* SPDX-License-Identifier: Apache-2.0
 *
 * What a manifest says is what the configuration holds: defaults, every key, every form of it. */
#include "image_fixture.h"

#include "image/internal.h"

static struct vigil_config *load(const char *text)
{
    struct vigil_config *config;
    struct image_error error;
    const char *path = fx_path("test.manifest");

    fx_write(path, text, strlen(text));
    if (manifest_load(path, &config, &error))
        fail_msg("%s", error.text);
    if (config_check(config, config->size, &error))
        fail_msg("what was loaded is not well formed: %s", error.text);
    return config;
}

static const char *string(const struct vigil_config *c, uint32_t offset)
{
    assert_true(offset && offset < c->size);
    return (const char *)c + offset;
}

static const char *item(const struct vigil_config *c, const struct vigil_list *list, uint32_t i)
{
    assert_true(i < list->count);
    return string(c, ((const uint32_t *)((const char *)c + list->offset))[i]);
}

static const struct vigil_mount *mount(const struct vigil_config *c, uint32_t i)
{
    assert_true(i < c->mount_count);
    return (const struct vigil_mount *)((const char *)c + c->mounts) + i;
}

#define ENTRY "libos.entrypoint = \"/bin/app\"\n"

static void defaults_are_gramines(void **state)
{
    struct vigil_config *c = load(ENTRY);

    (void)state;
    assert_true(c->magic == VIGIL_CONFIG_MAGIC);
    assert_int_equal(c->flags, 0);
    assert_int_equal(c->enclave_size, 256u << 20);
    assert_int_equal(c->stack_size, 256u << 10);
    assert_int_equal(c->brk_max_size, 256u << 10);
    assert_int_equal(c->max_threads, 4);
    assert_int_equal(c->log_level, VIGIL_LOG_ERROR);
    assert_string_equal(string(c, c->entrypoint), "/bin/app");
    assert_int_equal(c->log_file, 0);
    assert_int_equal(c->start_dir, 0);
    assert_int_equal(c->argv.count + c->env.count + c->env_pass.count + c->allowed.count, 0);
    assert_int_equal(c->mount_count, 1);
    assert_string_equal(string(c, mount(c, 0)->path), "/");
    assert_string_equal(string(c, mount(c, 0)->host), "."); /* Gramine: the directory it is started in */
    free(c);
}

static void every_flag_has_its_key(void **state)
{
    static const struct { const char *key; uint32_t flag; } rows[] = {
        {"sgx.debug", VIGIL_FLAG_DEBUG},
        {"sgx.experimental_enable_aex_notify", VIGIL_FLAG_AEX_NOTIFY},
        {"sgx.use_exinfo", VIGIL_FLAG_EXINFO},
        {"sgx.enable_stats", VIGIL_FLAG_STATS},
        {"loader.insecure__use_cmdline_argv", VIGIL_FLAG_CMDLINE_ARGV},
        {"loader.insecure__use_host_env", VIGIL_FLAG_HOST_ENV},
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (int on = 0; on < 2; on++) {
            snprintf(text, sizeof(text), ENTRY "%s = %s\n", rows[i].key, on ? "true" : "false");
            struct vigil_config *c = load(text);
            assert_int_equal(c->flags, on ? rows[i].flag : 0);
            free(c);
        }
    struct vigil_config *c = load(ENTRY "sgx.file_check_policy = \"allow_all_but_log\"");
    assert_int_equal(c->flags, VIGIL_FLAG_ALLOW_FILES);
    free(c);
    c = load(ENTRY "sgx.file_check_policy = \"strict\"");
    assert_int_equal(c->flags, 0);
    free(c);
}

static void sizes_are_gramines(void **state)
{
    static const struct { const char *text; uint64_t value; } rows[] = {
        {"\"64M\"", 64u << 20}, {"\"2G\"", 2ull << 30}, {"\"1048576K\"", 1ull << 30}, {"\"16777216\"", 16u << 20},
        {"\"0064M\"", 64u << 20}, {"\"128m\"", 128u << 20},
        {"33554432", 32u << 20},
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), ENTRY "sgx.enclave_size = %s\n", rows[i].text);
        struct vigil_config *c = load(text);
        assert_int_equal(c->enclave_size, rows[i].value);
        free(c);
    }
    struct vigil_config *c = load(ENTRY "sys.stack.size = \"2M\"\nsys.brk.max_size = \"12M\"\nsgx.max_threads = 33\n");
    assert_int_equal(c->stack_size, 2u << 20);
    assert_int_equal(c->brk_max_size, 12u << 20);
    assert_int_equal(c->max_threads, 33);
    free(c);
}

static void log_levels_have_names(void **state)
{
    static const char *const names[] = {"none", "error", "warning", "debug", "trace", "all"};
    char text[256];

    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        snprintf(text, sizeof(text), ENTRY "loader.log_level = \"%s\"\nloader.log_file = \"out %u\"\n", names[i], i);
        struct vigil_config *c = load(text);
        assert_int_equal(c->log_level, i);
        assert_int_equal(strncmp(string(c, c->log_file), "out ", 4), 0);
        free(c);
        assert_int_equal(manifest_log_level(names[i]), i);
    }
    assert_int_equal(manifest_log_level("verbose"), -1);
    assert_int_equal(manifest_log_level(""), -1);
}

static void argv_keeps_its_order_and_its_bytes(void **state)
{
    struct vigil_config *c = load(ENTRY "loader.argv = [\"app\", \"\", \"two words\", \"\\u00e4\\t\", \"-c\"]\n");

    (void)state;
    assert_int_equal(c->argv.count, 5);
    assert_string_equal(item(c, &c->argv, 0), "app");
    assert_string_equal(item(c, &c->argv, 1), "");
    assert_string_equal(item(c, &c->argv, 2), "two words");
    assert_string_equal(item(c, &c->argv, 3), "\xc3\xa4\t");
    assert_string_equal(item(c, &c->argv, 4), "-c");
    free(c);
}

static void environment_has_three_forms(void **state)
{
    struct vigil_config *c = load(ENTRY "loader.env.A = \"1\"\nloader.env.B = { value = \"two = 2\" }\n"
                                        "loader.env.C = { passthrough = true }\n"
                                        "loader.env.D = { passthrough = false }\n"
                                        "loader.env.E = \"\"\n");

    (void)state;
    assert_int_equal(c->env.count, 3);
    assert_string_equal(item(c, &c->env, 0), "A=1");
    assert_string_equal(item(c, &c->env, 1), "B=two = 2");
    assert_string_equal(item(c, &c->env, 2), "E=");
    assert_int_equal(c->env_pass.count, 1);
    assert_string_equal(item(c, &c->env_pass, 0), "C");
    free(c);
}

static void file_systems_and_files(void **state)
{
    struct vigil_config *c = load(ENTRY "fs.root = { type = \"chroot\", uri = \"file:/srv/root\" }\n"
                                        "fs.start_dir = \"/data\"\n"
                                        "fs.mounts = [ { path = \"/data\", uri = \"file:data\" },\n"
                                        "  { type = \"chroot\", path = \"/lib\", uri = \"file:/usr/lib\" },\n"
                                        "  { type = \"tmpfs\", path = \"/tmp\" } ]\n"
                                        "sgx.allowed_files = [ \"file:data/\", \"file:/etc/hosts\" ]\n");

    (void)state;
    assert_int_equal(c->mount_count, 4);
    assert_string_equal(string(c, mount(c, 3)->path), "/tmp");
    assert_int_equal(mount(c, 3)->host, 0);
    assert_string_equal(string(c, mount(c, 0)->path), "/");
    assert_string_equal(string(c, mount(c, 0)->host), "/srv/root");
    assert_string_equal(string(c, mount(c, 1)->path), "/data");
    assert_string_equal(string(c, mount(c, 1)->host), "data");
    assert_string_equal(string(c, mount(c, 2)->path), "/lib");
    assert_string_equal(string(c, mount(c, 2)->host), "/usr/lib");
    assert_string_equal(string(c, c->start_dir), "/data");
    assert_int_equal(c->allowed.count, 2);
    assert_string_equal(item(c, &c->allowed, 0), "data/");
    assert_string_equal(item(c, &c->allowed, 1), "/etc/hosts");
    free(c);
}

/* Gramine's manifests name its LibOS; ours is in the image. Both of its spellings are accepted and change nothing. */
static void gramines_loader_is_ignored(void **state)
{
    struct vigil_config *plain = load(ENTRY);
    struct vigil_config *a = load(ENTRY "loader.entrypoint.uri = \"file:/usr/lib/libsysdb.so\"\n");
    struct vigil_config *b = load(ENTRY "loader.entrypoint = \"file:/usr/lib/libsysdb.so\"\n");

    (void)state;
    assert_int_equal(a->size, plain->size);
    assert_memory_equal(a, plain, plain->size);
    assert_int_equal(b->size, plain->size);
    assert_memory_equal(b, plain, plain->size);
    free(plain);
    free(a);
    free(b);
}

/* The configuration is what is said, not how: order, tables, comments and spelling of sizes do not change MRENCLAVE. */
static void same_meaning_is_same_configuration(void **state)
{
    struct vigil_config *a = load("libos.entrypoint = \"/bin/app\"\nsgx.enclave_size = \"64M\"\nsgx.debug = true\n"
                                  "loader.env.X = \"1\"\nloader.env.Y = \"2\"\n");
    struct vigil_config *b = load("# a comment\n[loader.env]\nY = { value = \"2\" }\nX = '1'\n\n[sgx]\ndebug = true\n"
                                  "enclave_size = 67_108_864\n[libos]\nentrypoint = '''/bin/app'''\n");

    (void)state;
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a, b, a->size);
    free(a);
    free(b);
}

static void default_is_for_a_program_without_manifest(void **state)
{
    const uint32_t flags = VIGIL_FLAG_DEBUG | VIGIL_FLAG_AEX_NOTIFY | VIGIL_FLAG_EXINFO | VIGIL_FLAG_NO_MANIFEST |
                           VIGIL_FLAG_HOST_ENV | VIGIL_FLAG_CMDLINE_ARGV | VIGIL_FLAG_ALLOW_FILES |
                           VIGIL_FLAG_QUIET_FILES;
    struct vigil_config *c;
    struct image_error error;

    (void)state;
    assert_int_equal(manifest_default("/opt/my program", &c, &error), 0);
    assert_int_equal(config_check(c, c->size, &error), 0);
    assert_int_equal(c->flags, flags);
    assert_string_equal(string(c, c->entrypoint), "/opt/my program");
    assert_int_equal(c->mount_count, 1);
    assert_string_equal(string(c, mount(c, 0)->host), "/");
    assert_int_equal(c->log_level, VIGIL_LOG_ERROR);
    assert_true(c->max_threads >= 16 && c->stack_size == 8u << 20 && c->enclave_size >= 512u << 20);
    free(c);
}

static void numbers_features_and_sources(void **state)
{
    struct vigil_config *c = load(ENTRY);

    (void)state;
    assert_int_equal(c->uid | c->gid | c->isvprodid | c->isvsvn | c->xfrm_required | c->xfrm_disabled, 0);
    assert_int_equal(c->argv_file | c->env_file, 0);
    assert_int_equal(c->fds_limit, 900);
    free(c);
    c = load(ENTRY "loader.uid = 1\nloader.gid = 2\nsys.fds.limit = 3\nsgx.isvprodid = 4\nsgx.isvsvn = 5\n"
                   "loader.argv_src_file = \"file:args\"\nloader.env_src_file = \"file:/env\"\n"
                   "sgx.cpu_features.avx512 = \"required\"\n");
    assert_int_equal(c->uid, 1);
    assert_int_equal(c->gid, 2);
    assert_int_equal(c->fds_limit, 3);
    assert_int_equal(c->isvprodid, 4);
    assert_int_equal(c->isvsvn, 5);
    assert_string_equal(string(c, c->argv_file), "args");
    assert_string_equal(string(c, c->env_file), "/env");
    assert_int_equal(c->xfrm_required, SGX_XFRM_AVX | SGX_XFRM_AVX512);
    free(c);
    c = load(ENTRY "sgx.cpu_features = { avx = \"disabled\", avx512 = \"unspecified\", amx = \"disabled\" }\n");
    assert_int_equal(c->xfrm_required, 0);
    assert_int_equal(c->xfrm_disabled, SGX_XFRM_AVX);
    free(c);
}

/* By name, so that the enclave finds them by bisection; a later entry for the same file wins. */
static void trusted_files_are_sorted(void **state)
{
    struct vigil_config *c = load(ENTRY "sgx.trusted_files = [\n"
        "{ uri = \"file:/z\", sha256 = \"" "0101010101010101010101010101010101010101010101010101010101010101\" },\n"
        "{ uri = \"file:/a/../b//c\", sha256 = \"" "0202020202020202020202020202020202020202020202020202020202020202\" },\n"
        "{ uri = \"file:x/y\", sha256 = \"" "0303030303030303030303030303030303030303030303030303030303030303\" },\n"
        "{ uri = \"file:/z\", sha256 = \"" "0404040404040404040404040404040404040404040404040404040404040404\" }]\n");
    static const struct { const char *path; uint8_t byte; } rows[] = {{"/b/c", 2}, {"/z", 4}, {"x/y", 3}};

    (void)state;
    assert_int_equal(c->trusted_count, 3);
    const struct vigil_trusted *t = (const void *)((const char *)c + c->trusted);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(string(c, t[i].path), rows[i].path);
        assert_int_equal(t[i].sha256[0], rows[i].byte);
        assert_int_equal(t[i].sha256[31], rows[i].byte);
    }
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_gramines),
        cmocka_unit_test(every_flag_has_its_key),
        cmocka_unit_test(sizes_are_gramines),
        cmocka_unit_test(log_levels_have_names),
        cmocka_unit_test(argv_keeps_its_order_and_its_bytes),
        cmocka_unit_test(environment_has_three_forms),
        cmocka_unit_test(file_systems_and_files),
        cmocka_unit_test(gramines_loader_is_ignored),
        cmocka_unit_test(same_meaning_is_same_configuration),
        cmocka_unit_test(default_is_for_a_program_without_manifest),
        cmocka_unit_test(numbers_features_and_sources),
        cmocka_unit_test(trusted_files_are_sorted),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
