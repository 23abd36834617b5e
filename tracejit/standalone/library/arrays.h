/* Arrays of the caller's: described, compared with what is wanted, copied. */

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    {"bool", 1},   {"int8", 1},   {"int16", 2},   {"int32", 4},   {"int64", 8},    {"uint8", 1},   {"uint16", 2},
    {"uint32", 4}, {"uint64", 8}, {"float16", 2}, {"bfloat16", 2}, {"float32", 4}, {"float64", 8},
};
#define DTYPES ((int)(sizeof dtypes / sizeof *dtypes))

/* `float32[2,3]`, `float32[batch,3]` by the names in `sizes`, or `a number of float64` */
static void describe(struct text text, int is_number, int dtype, int ndim, const int64_t *shape, const char *const *sizes) {
    const char *name = dtype >= 0 && dtype < DTYPES ? dtypes[dtype].name : "no dtype";
    append(&text, is_number ? "a number of %s" : "%s[", name);
    if (is_number) return;
    for (int axis = 0; axis < ndim && axis < MOST_AXES && shape; axis++) {
        if (axis) append(&text, ",");
        if (sizes && sizes[axis])
            append(&text, "%s", sizes[axis]);
        else
            append(&text, "%lld", (long long)shape[axis]);
    }
    append(&text, "]");
}

/* Arrays */

static size_t size_of(const info *what) { return dtypes[what->dtype].size; }

static size_t bytes_of(const info *what) {
    size_t bytes = size_of(what);
    for (int axis = 0; axis < what->ndim; axis++) bytes *= (size_t)what->shape[axis];
    return bytes;
}

static int is_dense(const info *what, const int64_t *strides) {
    int64_t step = (int64_t)size_of(what);
    if (!strides || bytes_of(what) == 0) return 1;
    for (int axis = what->ndim; axis-- > 0; step *= what->shape[axis])
        if (strides[axis] != step && what->shape[axis] != 1) return 0;
    return 1;
}

/* The strides of elements that lie one after the other. */
static void dense_strides(const info *what, int64_t *strides) {
    int64_t step = (int64_t)size_of(what);
    for (int axis = what->ndim; axis-- > 0; step *= what->shape[axis]) strides[axis] = step;
}

static void copy_axes(int ndim, const int64_t *shape, size_t size, char *to, const int64_t *to_strides, const char *from,
                      const int64_t *from_strides) {
    if (ndim == 0) {
        memcpy(to, from, size);
        return;
    }
    for (int64_t index = 0; index < *shape; index++, to += *to_strides, from += *from_strides) {
        if (ndim > 1)
            copy_axes(ndim - 1, shape + 1, size, to, to_strides + 1, from, from_strides + 1);
        else if (size == 4)
            memcpy(to, from, 4);
        else if (size == 8)
            memcpy(to, from, 8);
        else
            memcpy(to, from, size);
    }
}

/* NULL for strides: the elements lie one after the other. */
static void copy_array(const info *what, void *to, const int64_t *to_strides, const void *from, const int64_t *from_strides) {
    int64_t dense[MOST_AXES + 1];
    size_t bytes = bytes_of(what);
    if (bytes == 0) return;
    if (is_dense(what, to_strides) && is_dense(what, from_strides)) {
        memcpy(to, from, bytes);
        return;
    }
    dense_strides(what, dense);
    copy_axes(what->ndim, what->shape, size_of(what), to, to_strides ? to_strides : dense, from,
              from_strides ? from_strides : dense);
}

/* Where the memory of an array begins and ends; numbers, and arrays without elements, have none. */
static void reach(const info *what, const value *given, const char **low, const char **high) {
    *low = *high = NULL;
    if (what->is_number || bytes_of(what) == 0) return;
    *low = *high = given->data;
    if (!given->strides) {
        *high += bytes_of(what);
        return;
    }
    *high += size_of(what);
    for (int axis = 0; axis < what->ndim; axis++) {
        int64_t steps = given->strides[axis] * (what->shape[axis] - 1);
        if (steps < 0)
            *low += steps;
        else
            *high += steps;
    }
}

/* Whether two elements may share memory: told by the strides, each of which has to step over what the smaller ones reach. */
static int meets_itself(const info *what, const value *given) {
    int64_t reached = (int64_t)size_of(what);
    char done[MOST_AXES + 1] = {0};
    if (!given->strides || bytes_of(what) == 0) return 0;
    for (int turn = 0; turn < what->ndim; turn++) {
        int least = -1;
        for (int axis = 0; axis < what->ndim; axis++)
            if (!done[axis] && (least < 0 || llabs(given->strides[axis]) < llabs(given->strides[least]))) least = axis;
        done[least] = 1;
        if (what->shape[least] == 1) continue;
        if (llabs(given->strides[least]) < reached) return 1;
        reached += llabs(given->strides[least]) * (what->shape[least] - 1);
    }
    return 0;
}

static int is_aligned(const info *what, const void *data) { return (uintptr_t)data % size_of(what) == 0; }

/* Says that something else was given than is wanted. */
static int refuse(const char *role, const info *what, const value *given) {
    char wanted[256], got[256];
    describe((struct text){wanted, sizeof wanted}, what->is_number, (int)what->dtype, what->ndim, what->shape, what->sizes);
    describe((struct text){got, sizeof got}, given->is_number, (int)given->dtype, given->ndim, given->shape, NULL);
    return fail(N(ERROR_ARGUMENT), "%s %s is %s, got %s", role, what->name, wanted, got);
}

static void append_sizes(struct text *text, const int64_t *sizes) {
    for (size_t place = 0; place < SIZES; place++)
        append(text, "%s%s=%lld", place ? ", " : "", size_names[place], (long long)sizes[place]);
}

/* Says that there is no code for these sizes, and for which there is. */
static int refuse_sizes(const int64_t *sizes) {
    struct text text = {message, sizeof message};
    append(&text, "there is no code for ");
    append_sizes(&text, sizes);
    for (size_t number = 0; number < COMBINATIONS; number++) {
        append(&text, number ? "; " : ", but for ");
        append_sizes(&text, combinations[number].sizes);
    }
    return N(ERROR_SIZES);
}

/* Whether a value is of the dtype and the shape that are wanted; a size that each call chooses is any. */
static int is_same(const info *what, const value *given) {
    if (given->dtype != what->dtype || !given->is_number != !what->is_number) return 0;
    if (what->is_number) return 1;
    if (given->ndim != what->ndim || (what->ndim && !given->shape)) return 0;
    for (int axis = 0; axis < what->ndim; axis++)
        if (given->shape[axis] != what->shape[axis] && what->shape[axis] != N(ANY_SIZE)) return 0;
    return 1;
}

/* Whether a value is what is wanted there; `is_written` if its memory is written. */
static int check_value(const char *role, const info *what, const value *given, int is_written) {
    if (what->is_number && is_written) return N(OK);
    if (!is_same(what, given)) return refuse(role, what, given);
    if (what->is_number) return N(OK);
    if (!given->data && bytes_of(what)) return fail(N(ERROR_ARGUMENT), "%s %s has no memory", role, what->name);
    if (is_written && meets_itself(what, given))
        return fail(N(ERROR_ARGUMENT), "%s %s is written, and its elements share memory", role, what->name);
    return N(OK);
}
