/* SPDX-License-Identifier: Apache-2.0
 *
 * The vigil command. */
#include "cli/cli.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Vigil runs unmodified Linux programs in SGX enclaves that know when they are interrupted.\n"
    "\n"
    "  vigil run [options] -- PROGRAM [ARGS...]   run a program, no manifest needed\n"
    "  vigil run [options] MANIFEST [ARGS...]     run what a manifest (or a signed image) describes\n"
    "  vigil gdb [options] -- PROGRAM [ARGS...]   debug a program inside its enclave\n"
    "  vigil sweep [options] -- PROGRAM [ARGS...] interrupt a program everywhere and see whether it notices\n"
    "  vigil sign MANIFEST                        make a signed image\n"
    "  vigil manifest check FILE                  say everything that is wrong with a manifest\n"
    "  vigil info [MANIFEST|IMAGE]                which SGX is there, and which one will be used\n"
    "\n"
    "`vigil COMMAND --help` explains each. Exit status: the program's own (128+N if signal N ended it);\n"
    "1 sweep has found a difference,\n"
    "2 wrong command line, 3 bad manifest, image or key, 4 refused by the SGX or by the enclave,\n"
    "126 not executable, 127 not found.\n"
    "\n"
    "On a machine without SGX the software SGX is used. It protects nothing: it is for development and tests.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {{"run", command_run}, {"sign", command_sign}, {"info", command_info}, {"gdb", command_gdb}, {"sweep", command_sweep},
              {"manifest", command_manifest}};

int complain(int code, const char *format, ...)
{
    char line[8192];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    /* One line that cannot steer a terminal, whatever names it repeats. */
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "vigil: %s\n", line);
    return code;
}

void say_remark(void *arg, enum manifest_severity severity, const char *text)
{
    static const char *const prefix[] = {"", "warning: ", "note: "};

    (void)arg;
    complain(EXIT_BAD_INPUT, "%s%s", prefix[severity], text);
}

int complain_option(int c, int argc, char **argv)
{
    const char *argument = argv[optind - 1], *next = optind < argc ? argv[optind] : "";

    if (c == ':')
        return complain(EXIT_USAGE, "%s needs a value; see `vigil %s --help`", argument, argv[0]);
    /* A bundle of letters is passed only after its last. */
    const char letter[] = {'-', (char)optopt, 0};
    if (optopt && strcmp(argument, letter) && next[0] == '-' && next[1] != '-' && strchr(next, optopt))
        argument = next;
    return complain(EXIT_USAGE, "%s is not an option, or not with a value; see `vigil %s --help`", argument, argv[0]);
}

int finish_output(void)
{
    if (fflush(stdout) || ferror(stdout))
        return complain(EXIT_BAD_INPUT, "standard output: cannot write: %m");
    return 0;
}

/* A file of ours must not become standard input, output or error because that was closed. Reading and writing still fail with
 * EBADF, so that results are not lost in silence. */
static void hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            return;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    hold_standard_descriptors();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        fputs(usage, stdout);
        return finish_output();
    }
    if (!strcmp(name, "--version")) {
        puts("vigil " VIGIL_VERSION);
        return finish_output();
    }
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return complain(EXIT_USAGE, "%s is not a command; there are run, gdb, sweep, sign, manifest and info (see `vigil --help`)", name);
}
