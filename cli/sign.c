/* SPDX-License-Identifier: Apache-2.0
 *
 * vigil sign */
#include "cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: vigil sign [--key FILE] [--output FILE] MANIFEST\n"
    "\n"
    "Measures and signs what MANIFEST describes and writes a signed image, NAME.vigil for NAME.manifest.\n"
    "\n"
    "  --key FILE     RSA-3072 key with exponent 3, PEM, mode 0600 (`openssl genrsa -3 3072`). Without it the\n"
    "                 development key is used; it is made on first use in ~/.config/vigil/dev-key.pem\n"
    "  --output FILE  where to write the image\n"
    "  --help         this text\n";

/* Kept until the image is there: an error is then the only line. */
static void say_later(void *arg, enum manifest_severity severity, const char *text)
{
    fprintf(arg, "%c%s\n", '0' + (char)severity, text);
}

static void say_kept(char *text)
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        say_remark(NULL, (enum manifest_severity)(*line - '0'), line + 1);
}

int command_sign(int argc, char **argv)
{
    static const struct option longs[] = {{"key", required_argument, NULL, 'k'}, {"output", required_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'}, {0}};
    const char *key = NULL, *output = NULL;
    struct vigil_config *config;
    struct image_error error;
    struct image image;
    char *remarks = NULL;
    size_t size;

    for (int c; (c = getopt_long(argc, argv, ":", longs, NULL)) != -1;) {
        switch (c) {
        case 'k': key = optarg; break;
        case 'o': output = optarg; break;
        case 'h': fputs(usage, stdout); return finish_output();
        default: return complain_option(c, argc, argv);
        }
    }
    if (optind + 1 != argc)
        return complain(EXIT_USAGE, "sign takes one manifest; see `vigil sign --help`");
    const char *manifest = argv[optind];
    if (!output)
        output = signed_name(manifest);
    FILE *later = open_memstream(&remarks, &size);
    if (!later)
        return complain(EXIT_BAD_INPUT, "%s: out of memory", manifest);
    if (manifest_load_saying(manifest, &config, say_later, later, &error) || sign_in_memory(&image, config, key, &error) ||
        image_write(&image, output, &error))
        return complain(EXIT_BAD_INPUT, "%s", error.text);
    fclose(later);
    say_kept(remarks);
    free(remarks);
    printf("%-12s%s\n", "image", output);
    print_identity(&image);
    image_free(&image);
    free(config);
    return finish_output();
}
