/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil gdb: starts gdb with what it needs to debug a program inside an enclave (tools/gdb). */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: vigil gdb [gdb options] [run options] -- PROGRAM [ARGS...]\n"
    "       vigil gdb [gdb options] [run options] MANIFEST|IMAGE [ARGS...]\n"
    "       vigil gdb [gdb options] --pid PID\n"
    "\n"
    "Debugs a program inside a debug enclave. Breakpoints may be set before `run`: they wait for the program.\n"
    "The last form attaches to a `vigil run`.\n"
    "In gdb, `vigil status` and `vigil app-bt` show the enclave's side.\n"
    "\n"
    "  --ex COMMAND          a gdb command to begin with; may be repeated\n"
    "  --batch               end gdb after the commands\n"
    "  --gdb-arg ARG         any other argument for gdb; may be repeated\n"
    "  --pid PID             attach to this process\n"
    "  --gdb PATH            the gdb to start (default: gdb in PATH)\n"
    "  --help                this text\n"
    "\n"
    "Run options are those of `vigil run`; they come after gdb's.\n";

struct command {
    const char *gdb, *pid;
    const char **argv;   /* gdb's, NULL-terminated */
    int argc;
};

/* Takes gdb's options from the front. Returns -1 to go on with argv[*next], else the exit status. */
static int parse_options(int argc, char **argv, struct command *c, int *next)
{
    int i = 1;

    for (; i < argc; i++) {
        bool ex = !strcmp(argv[i], "--ex") || !strcmp(argv[i], "-ex");
        const char **text = !strcmp(argv[i], "--gdb") ? &c->gdb : !strcmp(argv[i], "--pid") ? &c->pid : NULL;
        if (!strcmp(argv[i], "--help")) {
            fputs(usage, stdout);
            return finish_output();
        }
        if (!strcmp(argv[i], "--batch") || !strcmp(argv[i], "-batch")) {
            c->argv[c->argc++] = "--batch";
            continue;
        }
        if (!ex && !text && strcmp(argv[i], "--gdb-arg"))
            break;
        if (++i == argc)
            return complain(EXIT_USAGE, "%s wants an argument; see `vigil gdb --help`", argv[i - 1]);
        if (text) {
            *text = argv[i];
            continue;
        }
        if (ex)
            c->argv[c->argc++] = "-ex";
        c->argv[c->argc++] = argv[i];
    }
    *next = i;
    return -1;
}

/* Interrupt schedules step the program by the same flag as gdb does. */
static bool wants_schedule(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--aex") || !strncmp(argv[i], "--aex=", 6))
            return true;
    return false;
}

/* A file of ours, installed or in the build directory. */
static int find_file(const char *name, char path[PATH_MAX])
{
    static const char *const places[] = {"../lib/vigil/gdb", "../lib/x86_64-linux-gnu/vigil/gdb", "../tools/gdb"};
    char self[PATH_MAX], candidate[2 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(candidate, sizeof(candidate), "%s/%s/%s", self, places[i], name);
        if (realpath(candidate, path))
            return 0;
    }
    return complain(EXIT_BAD_INPUT, "%s: not found beside %s: build or install vigil completely", name, self);
}

/* The arguments of `vigil run`, in a form that survives every character: hexadecimal, NUL after each. */
static void export_arguments(int argc, char **argv)
{
    size_t size = 2 * sizeof("run") + 1, n = 0;

    for (int i = 0; i < argc; i++)
        size += 2 * strlen(argv[i]) + 2;
    char *text = malloc(size);
    if (!text)
        exit(complain(EXIT_BAD_INPUT, "out of memory"));
    for (int i = -1; i < argc; i++) {
        const char *argument = i < 0 ? "run" : argv[i];
        for (size_t k = 0; k <= strlen(argument); k++)
            n += (size_t)snprintf(text + n, size - n, "%02x", (unsigned char)argument[k]);
    }
    setenv("VIGIL_GDB_ARGV", text, 1);
    free(text);
}

/* What vigil.py reads, and our library in front of the user's own. */
static int export_environment(void)
{
    char library[PATH_MAX], self[PATH_MAX], preload[2 * PATH_MAX], runtime[PATH_MAX];
    const char *user = getenv("LD_PRELOAD");
    int status = find_file("vigil-gdb.so", library);

    if (status)
        return status;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n < 0 ? 0 : n] = 0;
    snprintf(preload, sizeof(preload), "%s%s%s", library, user && *user ? ":" : "", user ? user : "");
    setenv("VIGIL_GDB_PRELOAD", user ? user : "", 1);
    setenv("VIGIL_GDB_COMMAND", self, 1);
    setenv("VIGIL_GDB_RUNTIME", find_runtime(runtime, sizeof(runtime)) ? runtime : "", 1);
    setenv("LD_PRELOAD", preload, 1);
    return 0;
}

int command_gdb(int argc, char **argv)
{
    struct command c = {.gdb = "gdb"};
    char helper[PATH_MAX], source[PATH_MAX + 16];
    int next = 0;

    c.argv = calloc((size_t)argc * 2 + 8, sizeof(*c.argv));
    if (!c.argv)
        return complain(EXIT_BAD_INPUT, "out of memory");
    c.argv[c.argc++] = "gdb";
    c.argv[c.argc++] = "-q";
    c.argv[c.argc++] = "-iex";
    c.argv[c.argc++] = source;
    int status = parse_options(argc, argv, &c, &next);
    if (status >= 0)
        return status;
    if (c.pid && (next < argc || !strtoul(c.pid, NULL, 10) || strspn(c.pid, "0123456789") != strlen(c.pid)))
        return complain(EXIT_USAGE, next < argc ? "--pid attaches: no program or manifest goes with it"
                                                : "--pid wants the number of a process; see `vigil gdb --help`");
    if (next >= argc && !c.pid)
        return complain(EXIT_USAGE, "nothing to debug: give `-- PROGRAM` or a manifest; see `vigil gdb --help`");
    if (wants_schedule(argc - next, argv + next))
        return complain(EXIT_USAGE, "--aex single-steps the program and so does gdb: use one of them; --tick-hz works");
    status = find_file("vigil.py", helper);
    if (!status)
        status = export_environment();
    if (status)
        return status;
    snprintf(source, sizeof(source), "source %s", helper);
    export_arguments(argc - next, argv + next);
    if (c.pid)
        setenv("VIGIL_GDB_PID", c.pid, 1);
    execvp(c.gdb, (char *const *)c.argv);
    if (errno == ENOENT)
        return complain(EXIT_NOT_FOUND, "%s: not found; install the Debian package gdb (apt-get install gdb)", c.gdb);
    return complain(EXIT_NOT_EXECUTABLE, "%s: cannot be started: %s", c.gdb, strerror(errno));
}
