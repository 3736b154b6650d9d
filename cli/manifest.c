/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil manifest: looking at manifests, and making them from templates. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: vigil manifest check FILE...\n"
    "       vigil manifest keys\n"
    "       vigil manifest render TEMPLATE [-D NAME=VALUE]... > FILE\n"
    "\n"
    "check  says everything that is wrong with a manifest, each with its line and column. Files that it trusts are\n"
    "       read. Warnings say what protection it gives up, and what it names and is not there; notes, which of its keys\n"
    "       have no effect. Exit status 0: no errors; 3: there are.\n"
    "keys   prints a table of all keys, as in docs/manifest.md.\n"
    "render fills in a Jinja template, as Gramine's manifest templates are, with the package python3-jinja2. Templates may\n"
    "       use the names given with -D, env (the environment), arch_libdir, entrypoint, gramine.libos,\n"
    "       gramine.runtimedir(), python.stdlib, python.get_path() and python.get_sys_path(). Exit status 3: the template or its result cannot be read.\n";

static int check(int argc, char **argv)
{
    int wrong = 0;

    if (argc < 2)
        return complain(EXIT_USAGE, "no manifest given; see `vigil manifest --help`");
    for (int i = 1; i < argc; i++) {
        int found = manifest_check(argv[i], say_remark, NULL);
        if (!found)
            printf("%s: no errors\n", argv[i]);
        wrong += found;
    }
    int status = finish_output();
    return wrong ? EXIT_BAD_INPUT : status;
}

/* The script lies beside the command, or where it is installed. */
static bool find_script(char *path, size_t size)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n < 0)
        return false;
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    snprintf(path, size, "%s/render_manifest.py", exe);
    return !access(path, R_OK);
}

static int render(int argc, char **argv)
{
    char script[PATH_MAX + 32];
    const char **command = calloc((size_t)argc + 3, sizeof(*command));
    int n = 0;

    if (argc < 2 || !command) {
        free(command);
        return complain(EXIT_USAGE, "no template given; see `vigil manifest --help`");
    }
    if (!find_script(script, sizeof(script))) {
        free(command);
        return complain(EXIT_BAD_INPUT, "render_manifest.py is not beside the vigil command: build or install it again");
    }
    char runtime[PATH_MAX];
    if (find_runtime(runtime, sizeof(runtime)))
        setenv("VIGIL_TEMPLATE_LIBOS", runtime, 1);
    command[n++] = "python3";
    command[n++] = script;
    for (int i = 1; i < argc; i++)
        command[n++] = argv[i];
    execv("/usr/bin/python3", (char **)command);
    free(command);
    return complain(EXIT_BAD_INPUT, "/usr/bin/python3: %s; templates need python3 and python3-jinja2", strerror(errno));
}

int command_manifest(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (!strcmp(what, "--help") || !strcmp(what, "-h")) {
        fputs(usage, stdout);
        return finish_output();
    }
    if (!strcmp(what, "check"))
        return check(argc - 1, argv + 1);
    if (!strcmp(what, "keys") && argc == 2) {
        manifest_print_keys(stdout);
        return finish_output();
    }
    if (!strcmp(what, "render"))
        return render(argc - 1, argv + 1);
    return complain(EXIT_USAGE, "vigil manifest does not know %s; there are check, keys and render (see `vigil manifest --help`)",
                    *what ? what : "what to do");
}
