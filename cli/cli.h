/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the vigil command share. */
#ifndef VIGIL_CLI_H
#define VIGIL_CLI_H

#include "cli/exit_codes.h"
#include "host/host.h"
#include "image/manifest.h"

/* Each command takes its own arguments, argv[0] being its name, and returns the exit status. */
int command_run(int argc, char **argv);
int command_sign(int argc, char **argv);
int command_info(int argc, char **argv);
int command_gdb(int argc, char **argv);
int command_sweep(int argc, char **argv);
int command_manifest(int argc, char **argv);

/* Prints "vigil: ..." on stderr and returns code. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Something about a manifest, on stderr. A manifest_say. */
void say_remark(void *arg, enum manifest_severity severity, const char *text);
/* What getopt_long (with an option string that begins with ":") did not like; c is what it returned. EXIT_USAGE. */
int complain_option(int c, int argc, char **argv);
/* Flushes stdout; EXIT_BAD_INPUT if what was printed could not be written. */
int finish_output(void);

/* run.c */
#define MAX_POLICIES 32
struct run_settings {
    int aex_notify, edmm; /* -1: as it is */
    bool stats, symbols; /* symbols: somebody will want the runtime's */
    const char *enclave_size, *max_threads;
    const char *policies[MAX_POLICIES];
    unsigned policy_count;
    struct host_options host;
};
/* Looks a program up as a shell does. Returns 0 with its absolute path (PATH_MAX bytes), or the exit status, complained. */
int find_program(const char *name, char *path);
/* The image of `vigil run -- NAME`. Returns 0 or the exit status. */
int image_of_program(const struct run_settings *s, const char *name, struct image *image);

/* runtime.c: the runtime ELF, from VIGIL_RUNTIME or beside the executable. */
/* Its path; false if there is none. */
bool find_runtime(char *path, size_t size);
/* Builds and signs in memory with the key (NULL: development key). */
int sign_in_memory(struct image *image, const struct vigil_config *config, const char *key_path, struct image_error *error);
/* With the development key, or with its signature of the same image from an earlier run. Without symbols there will be no use
 * for the runtime's file. */
int sign_to_run(struct image *image, const struct vigil_config *config, bool symbols, struct image_error *error);
/* NAME.vigil of NAME.manifest (or of any other name). Static storage. */
const char *signed_name(const char *manifest);
void print_identity(const struct image *image);
#endif
