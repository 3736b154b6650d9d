/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil sweep: what its files share. */
#ifndef VIGIL_CLI_SWEEP_H
#define VIGIL_CLI_SWEEP_H

#include "cli/cli.h"
#include "sweep/program.h"

#include <limits.h>

#define SWEEP_LIMIT 10           /* seconds, by default */

struct sweep_options {
    unsigned depth;
    enum sweep_inject inject[2];
    uint64_t stride[2];          /* 0: so that it takes about a minute */
    int signal[2];
    unsigned limit;              /* seconds for a run, beside 20 times the undisturbed one */
    bool all, json;
    const char *region;          /* FROM..TO, or one function; NULL: main */
    const char *replay;
    struct run_settings run;
    bool own_size;               /* --enclave-size was given */
};
/* sweep_options.c. Returns -1 to go on, else the exit status. */
int sweep_parse(int argc, char **argv, struct sweep_options *o);
/* The program's file, for its symbols. */
struct elf_file { void *data; size_t size; };
/* Maps the file and looks the region's symbols up in it. Returns 0 or the exit status. */
int sweep_find_region(const struct sweep_options *o, const char *path, struct elf_file *elf, struct sweep_region *region);
/* A shot as text, to be given to --replay, and back. */
#define SWEEP_TEXT 256
void sweep_shot_text(const struct sweep_shot *shot, char text[SWEEP_TEXT]);
bool sweep_shot_parse(const char *text, struct sweep_shot *shot);

/* sweep_report.c */
struct sweep_tally {
    uint64_t boundaries, chosen; /* of the region; worth an event */
    uint64_t runs, planned;      /* with events, so far; 0: not known yet */
    uint64_t pairs, failures, unreached, pointless;
    bool interrupted;
};
struct sweep_report {
    const struct sweep_options *options;
    const struct image *image;
    struct elf_file elf;
    uint64_t bias;               /* of the program in the enclave */
    char **argv;                 /* of vigil sweep from the program on */
    int argc;
    struct sweep_tally tally;
    struct sweep_failure { char text[SWEEP_TEXT]; const char *what; uint64_t rip; } failure[100];
    unsigned kept;
};
void sweep_progress(const struct sweep_report *r);
void sweep_note_failure(struct sweep_report *r, const struct sweep_shot *shot, const char *what);
/* The summary, or the JSON object. Returns the exit status. */
int sweep_summary(const struct sweep_report *r);

#endif
