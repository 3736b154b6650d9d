/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil run */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static const char usage[] =
    "usage: vigil run [options] -- PROGRAM [ARGS...]\n"
    "       vigil run [options] MANIFEST|IMAGE [ARGS...]\n"
    "\n"
    "The first form needs no manifest: a debug enclave in which PROGRAM sees the files and the environment of the host.\n"
    "The second runs what a manifest describes. If NAME.vigil lies beside NAME.manifest it is used and must match;\n"
    "without it a manifest with sgx.debug = true is signed on the spot with the development key. ARGS are for manifests\n"
    "with loader.insecure__use_cmdline_argv = true.\n"
    "\n"
    "  --aex-notify=on|off   let the enclave know of each interruption (default: on, or what the manifest says)\n"
    "  --aex-policy KEY=VALUE  one of the manifest's sgx.aex_notify keys, for example mitigation=count; may be repeated.\n"
    "                        Policies are measured: another value, another MRENCLAVE; a signed image refuses it\n"
    "  --edmm=on|off         dynamic memory (SGX2): memory and threads come when they are used (default: off, or what the\n"
    "                        manifest says); on, the enclave has room for 64G\n"
    "  --tick-hz N           software SGX: interrupts a second, 0 for none (default 250)\n"
    "  --stats               print statistics at the end\n"
    "  --log-level L         none, error, warning, debug, trace or all; a production enclave keeps its own\n"
    "  --enclave-size SIZE   with --: a power of two, for example 512M (default)\n"
    "  --max-threads N       with --: threads at the same time (default 16)\n"
    "  --epc-size SIZE       software SGX, for tests: how much enclave memory there is (default: no limit)\n"
    "  --traps=few|all       all: every system call of the program traps, and (software SGX) every ENCLU; for debuggers\n"
    "                        and tests, slow (default: few, or all if vigil is being traced)\n"
    "  --aex SCHEDULE        software SGX, for tests: after:N (an interrupt at instruction N), every,\n"
    "                        random:SEED,MEAN (MEAN instructions apart), threads:SEED,MEAN (all but the first thread)\n"
    "  --help                this text\n"
    "\n"
    "Exit status: the program's own. Vigil's own lines go to stderr and begin with `vigil:`.\n";

static bool parse_number(const char *text, uint64_t max, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return *text >= '0' && *text <= '9' && !*end && !errno && *value <= max;
}

/* 512M, 1G, or bytes. */
static bool parse_size(const char *text, uint64_t *size)
{
    char *end;

    errno = 0;
    *size = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno)
        return false;
    int shift = *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end[shift != 0] || *size > UINT64_MAX >> shift)
        return false;
    *size <<= shift;
    return true;
}

static bool parse_schedule(const char *text, struct host_options *host)
{
    char *comma, copy[64];

    if (!strcmp(text, "every")) {
        host->aex = HOST_AEX_EVERY;
        return true;
    }
    if (!strncmp(text, "after:", 6)) {
        host->aex = HOST_AEX_AFTER;
        return parse_number(text + 6, UINT64_MAX, &host->aex_n);
    }
    bool threads = !strncmp(text, "threads:", 8);
    if ((!threads && strncmp(text, "random:", 7)) || strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, strchr(text, ':') + 1);
    comma = strchr(copy, ',');
    if (!comma)
        return false;
    *comma = 0;
    host->aex = threads ? HOST_AEX_THREADS : HOST_AEX_RANDOM;
    return parse_number(copy, UINT64_MAX, &host->aex_seed) && parse_number(comma + 1, 1u << 30, &host->aex_n) &&
           host->aex_n;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct run_settings *s)
{
    static const struct option longs[] = {
        {"aex-notify", required_argument, NULL, 'n'}, {"tick-hz", required_argument, NULL, 't'},
        {"stats", no_argument, NULL, 's'}, {"log-level", required_argument, NULL, 'l'},
        {"enclave-size", required_argument, NULL, 'e'}, {"max-threads", required_argument, NULL, 'm'},
        {"edmm", required_argument, NULL, 'd'}, {"traps", required_argument, NULL, 'u'}, {"epc-size", required_argument, NULL, 'c'},
        {"aex", required_argument, NULL, 'a'}, {"aex-policy", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
    uint64_t number;

    for (int c; (c = getopt_long(argc, argv, "+:", longs, NULL)) != -1;) {
        switch (c) {
        case 'n':
            if (strcmp(optarg, "on") && strcmp(optarg, "off"))
                return complain(EXIT_USAGE, "--aex-notify is on or off, not %s", optarg);
            s->aex_notify = !strcmp(optarg, "on");
            break;
        case 'd':
            if (strcmp(optarg, "on") && strcmp(optarg, "off"))
                return complain(EXIT_USAGE, "--edmm is on or off, not %s", optarg);
            s->edmm = !strcmp(optarg, "on");
            break;
        case 'u':
            if (strcmp(optarg, "few") && strcmp(optarg, "all"))
                return complain(EXIT_USAGE, "--traps is few or all, not %s", optarg);
            s->host.plain = !strcmp(optarg, "all");
            break;
        case 'c':
            if (!parse_size(optarg, &s->host.epc_size) || !s->host.epc_size)
                return complain(EXIT_USAGE, "--epc-size is a size such as 64M, not %s", optarg);
            break;
        case 't':
            if (!parse_number(optarg, 1000000, &number))
                return complain(EXIT_USAGE, "--tick-hz is a number from 0 to 1000000, not %s", optarg);
            s->host.tick_hz = (unsigned)number;
            break;
        case 's': s->stats = true; break;
        case 'l':
            s->host.log_level = manifest_log_level(optarg);
            if (s->host.log_level < 0)
                return complain(EXIT_USAGE, "--log-level is none, error, warning, debug, trace or all, not %s", optarg);
            break;
        case 'e': s->enclave_size = optarg; break;
        case 'm': s->max_threads = optarg; break;
        case 'a':
            if (!parse_schedule(optarg, &s->host))
                return complain(EXIT_USAGE, "--aex is after:N, every, random:SEED,MEAN or threads:SEED,MEAN, not %s", optarg);
            break;
        case 'p':
            if (s->policy_count == MAX_POLICIES)
                return complain(EXIT_USAGE, "--aex-policy more than %d times", MAX_POLICIES);
            s->policies[s->policy_count++] = optarg;
            break;
        case 'h': fputs(usage, stdout); return finish_output();
        default: return complain_option(c, argc, argv);
        }
    }
    return -1;
}

static bool is_program(const char *path, struct stat *st)
{
    return !stat(path, st) && S_ISREG(st->st_mode) && !access(path, X_OK);
}

/* Looks a program up as a shell does. Returns 0 with its absolute path, or the exit status. */
int find_program(const char *name, char *path)
{
    const char *search = getenv("PATH");
    char candidate[2 * PATH_MAX];
    char found[PATH_MAX] = "";
    struct stat st;

    if (strchr(name, '/')) {
        if (is_program(name, &st) && realpath(name, path))
            return 0;
        if (stat(name, &st))
            return complain(EXIT_NOT_FOUND, "%s: %s", name, strerror(errno));
        return complain(EXIT_NOT_EXECUTABLE, "%s: %s", name, S_ISDIR(st.st_mode) ? "is a directory" : "not executable");
    }
    for (const char *p = search ? search : "/usr/bin:/bin"; *name && *p; p += strcspn(p, ":"), p += *p == ':') {
        int length = (int)strcspn(p, ":");
        snprintf(candidate, sizeof(candidate), "%.*s/%s", length, length ? p : ".", name);
        if (is_program(candidate, &st) && realpath(candidate, path))
            return 0;
        if (!*found && !stat(candidate, &st) && S_ISREG(st.st_mode))
            snprintf(found, sizeof(found), "%.*s", PATH_MAX - 1, candidate);
    }
    if (*found)
        return complain(EXIT_NOT_EXECUTABLE, "%s: not executable", found);
    return complain(EXIT_NOT_FOUND, "%s: not found in PATH", name);
}

static int apply_sizes(const struct run_settings *s, struct vigil_config *config)
{
    uint64_t number, size;

    if (s->max_threads) {
        if (!parse_number(s->max_threads, 4096, &number) || !number)
            return complain(EXIT_USAGE, "--max-threads is a number from 1 to 4096, not %s", s->max_threads);
        config->max_threads = (uint32_t)number;
    }
    if (s->enclave_size) {
        if (!parse_size(s->enclave_size, &size))
            return complain(EXIT_USAGE, "--enclave-size is a size such as 512M, not %s", s->enclave_size);
        config->enclave_size = size;
        /* What the default gives to stack and brk must fit a small enclave too. */
        while (config->brk_max_size > size / 4)
            config->brk_max_size /= 2;
        while (config->stack_size > size / 8)
            config->stack_size /= 2;
    }
    return 0;
}

/* Returns 0 or the exit status. */
static int apply_flags(const struct run_settings *s, struct vigil_config *config)
{
    struct image_error error;

    for (unsigned i = 0; i < s->policy_count; i++)
        if (manifest_aex_policy(config, s->policies[i], &error))
            return complain(EXIT_USAGE, "%s", error.text);
    if (s->aex_notify >= 0)
        config->flags = (config->flags & ~VIGIL_FLAG_AEX_NOTIFY) | (s->aex_notify ? VIGIL_FLAG_AEX_NOTIFY : 0);
    if (s->policy_count && !(config->flags & VIGIL_FLAG_AEX_NOTIFY))
        return complain(EXIT_USAGE, "--aex-policy has no effect while AEX-Notify is off; turn it on with --aex-notify=on");
    if (s->stats)
        config->flags |= VIGIL_FLAG_STATS;
    return 0;
}

/* vigil run -- PROGRAM */
int image_of_program(const struct run_settings *s, const char *name, struct image *image)
{
    struct vigil_config *config;
    struct image_error error;
    char path[PATH_MAX];

    int status = find_program(name, path);
    if (status)
        return status;
    if (manifest_default(path, &config, &error))
        return complain(EXIT_BAD_INPUT, "%s", error.text);
    if (s->edmm >= 0)
        manifest_use_edmm(config, s->edmm);
    if ((status = apply_sizes(s, config)))
        return status;
    if (!(status = apply_flags(s, config)) && sign_to_run(image, config, s->symbols, &error))
        status = complain(EXIT_BAD_INPUT, "%s", error.text);
    free(config);
    return status;
}

/* A signed image keeps what was measured. */
static int check_signed_flags(const struct run_settings *s, const struct image *image, const char *path)
{
    bool on = image->config->flags & VIGIL_FLAG_AEX_NOTIFY;
    if (s->policy_count)
        return complain(EXIT_USAGE, "%s: signed: --aex-policy would change what was measured; change the manifest and run "
                        "`vigil sign`", path);
    if (s->edmm >= 0 && s->edmm != !!(image->config->flags & VIGIL_FLAG_EDMM))
        return complain(EXIT_USAGE, "%s: --edmm=%s differs from what was signed; change the manifest and run `vigil sign`", path,
                        s->edmm ? "on" : "off");
    if (s->aex_notify >= 0 && on != (s->aex_notify == 1))
        return complain(EXIT_USAGE, "%s: --aex-notify=%s differs from what was signed; change the manifest and run `vigil sign`",
                        path, s->aex_notify ? "on" : "off");
    return 0;
}

/* vigil run MANIFEST or IMAGE */
static int image_of_file(const struct run_settings *s, const char *path, struct image *image)
{
    struct vigil_config *config;
    struct image_error error;

    if (s->enclave_size || s->max_threads)
        return complain(EXIT_USAGE, "--enclave-size and --max-threads go with `vigil run -- PROGRAM`; a manifest says them itself");
    if (image_is_file(path)) {
        if (image_read(image, path, &error))
            return complain(EXIT_BAD_INPUT, "%s", error.text);
        return check_signed_flags(s, image, path);
    }
    if (manifest_load(path, &config, &error))
        return complain(EXIT_BAD_INPUT, "%s", error.text);
    const char *beside = signed_name(path);
    if (!access(beside, F_OK)) {
        if (image_read(image, beside, &error))
            return complain(EXIT_BAD_INPUT, "%s", error.text);
        if (image->config->size != config->size || memcmp(image->config, config, config->size))
            return complain(EXIT_BAD_INPUT, "%s: changed since %s was signed; run `vigil sign %s`", path, beside, path);
        free(config);
        return check_signed_flags(s, image, beside);
    }
    if (!(config->flags & VIGIL_FLAG_DEBUG))
        return complain(EXIT_BAD_INPUT, "%s: not signed, and sgx.debug is not true; run `vigil sign %s` first", path, path);
    if (s->edmm >= 0)
        manifest_use_edmm(config, s->edmm);
    int status = apply_flags(s, config);
    if (!status && sign_to_run(image, config, s->symbols, &error))
        status = complain(EXIT_BAD_INPUT, "%s: %s", path, error.text);
    free(config);
    return status;
}

int command_run(int argc, char **argv)
{
    const char *file;
    struct run_settings s = {.aex_notify = -1, .edmm = -1, .host = {.tick_hz = 250, .log_level = -1, .envp = environ}};
    struct image_error error;
    struct image image;

    int status = parse_options(argc, argv, &s);
    if (status >= 0)
        return status;
    bool direct = optind > 1 && !strcmp(argv[optind - 1], "--");
    if (optind >= argc)
        return complain(EXIT_USAGE, "nothing to run: give `-- PROGRAM` or a manifest; see `vigil run --help`");
    file = argv[optind];
    status = direct ? image_of_program(&s, file, &image) : image_of_file(&s, file, &image);
    if (status)
        return status;
    s.host.stats = s.stats;
    s.host.remember = true;
    s.host.argc = argc - optind;
    s.host.argv = argv + optind;
    /* What a manifest starts is called by its own name, not by the manifest's. */
    if (!direct)
        s.host.argv[0] = (char *)image.config + image.config->entrypoint;
    if (!direct && optind + 1 < argc && !(image.config->flags & VIGIL_FLAG_CMDLINE_ARGV))
        return complain(EXIT_USAGE, "%s takes no arguments: loader.insecure__use_cmdline_argv is not true", file);
    image_forget_file(&image);
    host_run(&image, &s.host, &error);
    return complain(EXIT_NO_SGX, "%s", error.text);
}
