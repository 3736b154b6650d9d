/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: defects --runtime FILE --target PROGRAM --vigil COMMAND --source DIRECTORY [--stride N] [--verbose]
 *                [NAME ...] */
#include "tests/defects/defects.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

uint64_t defects_looked_at;

static const struct defect {
    const char *name, *what;
    int (*run)(void);
} defects[] = {
    {"D1", "a resume that was itself interrupted leaves the thread armed", d1},
    {"D2", "a reused TCS is notified from its first application instruction", d2},
    {"D3", "an AEX with a signal during an OCALL leaves the OCALL unarmed and whole", d3},
    {"D4", "an AEX at the final jump restarts, and registers and handlers are right", d4},
    {"D5", "OCALLs of stage 2 do not arm, and an AEX there is invisible", d5},
    {"D6", "an abandoned AEP leaves no trace on the host's side", d6},
    {"D7", "a signal in front of any instruction of the AEP is delivered without ticks", d7},
    {"D8", "a #PF or #BP that the host dealt with is benign", d8},
    {"D9", "a new thread in a TCS inherits nothing from the thread before", d9},
    {"B1", "AEX-Notify is on by attested facts or the enclave is refused; the stub runs each time", b1},
    {"B2", "the stub touches the operands of the next instruction and nothing else", b2},
    {"B3", "a fault of the program is a SIGSEGV with its address, probed or not, EXINFO or not", b3},
    {"B4", "handlers see the program and never the stub", b4},
    {"B5", "a notification costs one XRSTOR, no XSAVE and always the same stack", b5},
    {"B6", "an entry at a wrong moment is refused and changes nothing", b6},
    {"B7", "no vector instruction in the runtime", b7},
};

static bool verbose;

/* With the design as it is, then with the defect planted. */
static int test(const struct defect *d)
{
    defects_looked_at = 0;
    lab_options.planted = false;
    lab_forget();
    int there = d->run();
    uint64_t looked_at = defects_looked_at;
    if (there || !looked_at) {
        printf("%s %s: FAILED: %s\n", d->name, d->what, there ? lab_reason() : "nothing was looked at");
        return 1;
    }
    lab_options.planted = true;
    lab_forget();
    if (!d->run()) {
        printf("%s %s: FAILED: the planted defect was not noticed\n", d->name, d->what);
        return 1;
    }
    printf("%s %s: ok\n", d->name, d->what);
    if (verbose)
        printf("   looked at: %lu; with the defect planted: %s\n", looked_at, lab_reason());
    fflush(stdout);
    return 0;
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = optind; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return optind == argc;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"runtime", required_argument, NULL, 'r'},
                                          {"target", required_argument, NULL, 't'},
                                          {"vigil", required_argument, NULL, 'v'},
                                          {"source", required_argument, NULL, 's'},
                                          {"stride", required_argument, NULL, 'n'},
                                          {"verbose", no_argument, NULL, 'V'},
                                          {0}};
    const struct rlimit no_core = {0, 0};
    int failed = 0, ran = 0;

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'r': lab_options.runtime = optarg; break;
        case 't': lab_options.target = realpath(optarg, NULL); break;
        case 'v': lab_options.vigil = optarg; break;
        case 's': lab_options.source = optarg; break;
        case 'n': lab_options.stride = strtoul(optarg, NULL, 0); break;
        case 'V': verbose = true; break;
        default: return 2;
        }
    }
    if (!lab_options.runtime || !lab_options.target || !lab_options.vigil || !lab_options.source ||
        !lab_options.stride) {
        fprintf(stderr,
                "usage: defects --runtime FILE --target PROGRAM --vigil COMMAND --source DIRECTORY [--stride N] "
                "[--verbose] [NAME ...]\n");
        return 2;
    }
    setrlimit(RLIMIT_CORE, &no_core); /* programs die on purpose here */
    for (size_t i = 0; i < sizeof(defects) / sizeof(defects[0]); i++) {
        if (!wanted(defects[i].name, argc, argv))
            continue;
        failed += test(&defects[i]);
        ran++;
    }
    return failed || !ran;
}
