/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil info */
#include "cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: vigil info [MANIFEST|IMAGE]\n"
    "\n"
    "Says which SGX this machine has, what each offers, which one will be used and why. With a manifest or a signed\n"
    "image it also prints the enclave's identity and judges the SGX by what the image asks for.\n";

static const char *yes(bool value)
{
    return value ? "yes" : "no";
}

static void print_sgx(const struct host_sgx *sgx, bool chosen)
{
    printf("%s %s SGX: %s\n", chosen ? "*" : " ", sgx->name, sgx->reason);
    printf("    usable %s, SGX1 %s, SGX2 %s, AEX-Notify %s, EDECCSSA %s, EXINFO %s, XFRM 0x%lx\n", yes(sgx->usable),
           yes(sgx->sgx1), yes(sgx->sgx2), yes(sgx->aex_notify), yes(sgx->edeccssa), yes(sgx->exinfo), sgx->xfrm);
}

static int open_any(const char *path, struct image *image, struct image_error *error)
{
    struct vigil_config *config;

    if (image_is_file(path))
        return image_read(image, path, error);
    if (manifest_load(path, &config, error))
        return -1;
    int status = sign_in_memory(image, config, NULL, error);
    free(config);
    return status;
}

int command_info(int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
    struct host_sgx sgx[2];
    struct image_error error;
    struct image image;

    for (int c; (c = getopt_long(argc, argv, ":", longs, NULL)) != -1;) {
        if (c != 'h')
            return complain_option(c, argc, argv);
        fputs(usage, stdout);
        return finish_output();
    }
    if (optind + 1 < argc)
        return complain(EXIT_USAGE, "info takes at most one manifest or image; see `vigil info --help`");
    bool has_image = optind < argc;
    if (has_image && open_any(argv[optind], &image, &error))
        return complain(EXIT_BAD_INPUT, "%s", error.text);
    int chosen = host_probe(sgx, has_image ? &image : NULL);
    for (int i = 0; i < 2; i++)
        print_sgx(&sgx[i], i == chosen);
    printf("\n%s SGX will be used: %s\n", sgx[chosen].name,
           chosen ? "it offers everything that is asked for" : "the hardware is not usable (see above)");
    if (!chosen)
        puts("Software SGX PROTECTS NOTHING: every process of this machine can read such an enclave. It is for\n"
             "development, tests and study.");
    if (has_image) {
        putchar('\n');
        print_identity(&image);
        image_free(&image);
    }
    return finish_output();
}
