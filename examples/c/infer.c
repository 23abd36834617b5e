/* Classifies images of digits, by a network whose weights are in the library or, if it is given, in a file that `train` wrote. */

#include <digits_infer.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 64, PIXELS = 64 };

static void check(int code) {
    if (code == digits_infer_OK) return;
    fprintf(stderr, "infer: %s\n", digits_infer_message());
    exit(1);
}

static void read_or_end(void *to, size_t size, size_t count, FILE *file) {
    if (fread(to, size, count, file) == count) return;
    fprintf(stderr, "infer: the file is too short\n");
    exit(1);
}

static FILE *open_or_end(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) return file;
    perror(path);
    exit(1);
}

/* All tensors of the state, one after the other, in the library's own order. */
static void read_weights(digits_infer_instance *network, const char *path) {
    FILE *file = open_or_end(path);
    for (size_t index = 0; index < digits_infer_state_count(); index++) {
        const digits_infer_info *info = digits_infer_state_info(index);
        size_t count = 1;
        for (int axis = 0; axis < info->ndim; axis++) count *= (size_t)info->shape[axis];
        float *weights = malloc(count * sizeof *weights);
        read_or_end(weights, sizeof *weights, count, file);
        digits_infer_value value = digits_infer_array(info->dtype, weights, info->ndim, info->shape);
        check(digits_infer_set_state(network, info->name, &value));
        free(weights);
    }
    fclose(file);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "infer DIGITS [WEIGHTS]\n");
        return 1;
    }
    FILE *file = open_or_end(arguments[1]);
    int64_t images;
    read_or_end(&images, sizeof images, 1, file);
    float *pixels = malloc((size_t)images * PIXELS * sizeof *pixels);
    int64_t *labels = malloc((size_t)images * sizeof *labels);
    read_or_end(pixels, sizeof *pixels, (size_t)images * PIXELS, file);
    read_or_end(labels, sizeof *labels, (size_t)images, file);
    fclose(file);

    digits_infer_instance *network;
    check(digits_infer_create(&network, NULL));
    if (count > 2) read_weights(network, arguments[2]);

    const int64_t shape[] = {BATCH, PIXELS}, classes_shape[] = {BATCH};
    int64_t classes[BATCH], seen = 0, right = 0;
    for (; seen + BATCH <= images; seen += BATCH) {
        digits_infer_value input = digits_infer_array(digits_infer_FLOAT32, pixels + seen * PIXELS, 2, shape);
        digits_infer_value output = digits_infer_array(digits_infer_INT64, classes, 1, classes_shape);
        check(digits_infer_run(network, &input, 1, &output, 1));
        for (int image = 0; image < BATCH; image++) right += classes[image] == labels[seen + image];
    }
    printf("%lld of %lld images are classified rightly\n", (long long)right, (long long)seen);
    digits_infer_destroy(network);
    free(pixels);
    free(labels);
    return 0;
}
