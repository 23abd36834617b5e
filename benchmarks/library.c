/* What a call of an exported library costs: NAME(name) gives its public names. Arrays are of ones, numbers are 1. */

#define _GNU_SOURCE
#include LIBRARY
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const size_t sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8}; /* of the dtypes, in their order */

static NAME(value) made(const NAME(info) *info) {
    size_t count = 1;
    float one = 1;
    NAME(value) value = NAME(integer)(1);
    value.dtype = info->dtype;
    if (info->is_number) {
        if (info->dtype == NAME(FLOAT64)) value.number.real = 1;
        return value;
    }
    for (int axis = 0; axis < info->ndim; axis++) count *= (size_t)info->shape[axis];
    const size_t bytes = (count * sizes[info->dtype] + 64) / 64 * 64;
    char *data = memset(aligned_alloc(64, bytes), 0, bytes);
    if (info->dtype == NAME(FLOAT32))
        for (size_t place = 0; place < count; place++) memcpy(data + 4 * place, &one, 4);
    return NAME(array)(info->dtype, data, info->ndim, info->shape);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Seconds of a call, of each round. */
int main(int count, char **arguments) {
    const int rounds = count > 1 ? atoi(arguments[1]) : 1, calls = count > 2 ? atoi(arguments[2]) : 1;
    const size_t given_count = NAME(input_count)(), result_count = NAME(output_count)();
    NAME(value) *given = calloc(given_count + 1, sizeof *given), *results = calloc(result_count + 1, sizeof *results);
    NAME(instance) *instance;
    for (size_t index = 0; index < given_count; index++) given[index] = made(NAME(input_info)(index));
    for (size_t index = 0; index < result_count; index++) results[index] = made(NAME(output_info)(index));
    if (NAME(create)(&instance, NULL)) return fprintf(stderr, "%s\n", NAME(message)()), 1;
    for (int round = -1; round < rounds; round++) {
        double begin = now();
        for (int call = 0; call < calls; call++)
            if (NAME(run)(instance, given, given_count, results, result_count))
                return fprintf(stderr, "%s\n", NAME(message)()), 1;
        if (round >= 0) printf("%.9f\n", (now() - begin) / calls);
    }
    NAME(destroy)(instance);
    return 0;
}
