/* replay.c - a fuzz target without a fuzzer: runs it on the files given.
 * make check replays every seed and every input that once did harm. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;

    if (file && !fseek(file, 0, SEEK_END))
        size = ftell(file);
    /* Exactly as long as the input, so that a sanitizer sees every overrun. */
    if (size >= 0)
        data = malloc(size ? (size_t)size : 1);
    if (data && !fseek(file, 0, SEEK_SET) &&
        fread(data, 1, (size_t)size, file) == (size_t)size)
        LLVMFuzzerTestOneInput(data, (size_t)size);
    else
        perror(path);
    free(data);
    if (file)
        fclose(file);
    return data ? 0 : 1;
}

int main(int argc, char **argv)
{
    int status = 0;

    for (int i = 1; i < argc; i++)
        status |= replay(argv[i]);
    return status;
}
