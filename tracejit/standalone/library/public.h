/* NAME.h - @WHAT@

   Made by tracejit @VERSION@. Arguments, in the order in which NAME_run takes them:
@INPUTS@
   Results:
@OUTPUTS@
   State, by name; every instance has its own:
@STATE@
   Sizes that each call chooses:
@SIZES@
*/
#ifndef NAME_H
#define NAME_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define NAME_API __attribute__((visibility("default")))
#else
#define NAME_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return: NAME_OK, or why nothing was done. NAME_message() says it in words. */
enum {
    NAME_OK = 0,
    NAME_ERROR_ARGUMENT,   /* of another dtype or shape, without memory, or memory that is written twice */
    NAME_ERROR_STATE,      /* there is no state of this name, or not yet */
    NAME_ERROR_INDEX,      /* an index or a label is out of range */
    NAME_ERROR_CHANGED,    /* a decision on numbers came out otherwise than at the export */
    NAME_ERROR_ARITHMETIC, /* of numbers: a division by zero, a result out of range */
    NAME_ERROR_OVERFLOW,   /* an integer of more bits than there are */
    NAME_ERROR_MEMORY,     /* there is too little memory */
    NAME_ERROR_PROCESSOR,  /* this processor runs none of the library's code */
    NAME_ERROR_RAISED,     /* the function has raised an exception: the state is what it had made of it by then */
    NAME_ERROR_SIZES       /* there is no code for arguments of these sizes */
};

/* Of elements of arrays. Numbers are NAME_BOOL, NAME_INT64 or NAME_FLOAT64. A bool is a byte that is 0 or 1,
   float16 and bfloat16 are two bytes. */
typedef enum {
    NAME_BOOL,
    NAME_INT8,
    NAME_INT16,
    NAME_INT32,
    NAME_INT64,
    NAME_UINT8,
    NAME_UINT16,
    NAME_UINT32,
    NAME_UINT64,
    NAME_FLOAT16,
    NAME_BFLOAT16,
    NAME_FLOAT32,
    NAME_FLOAT64
} NAME_dtype;

/* An array, whose memory is the caller's, or a number. NAME_array, NAME_integer, NAME_real and NAME_truth make them. */
typedef struct {
    NAME_dtype dtype;
    int32_t ndim;           /* how many axes; of a number 0 */
    int32_t is_number;
    void *data;             /* the first element */
    const int64_t *shape;   /* elements along each axis */
    const int64_t *strides; /* bytes from one element to the next along each axis; NULL: in row-major order without gaps */
    union {
        int64_t integer; /* NAME_INT64, and NAME_BOOL: 0 or 1 */
        double real;     /* NAME_FLOAT64 */
    } number;
} NAME_value;

/* What an argument, a result or a piece of state is. */
typedef struct {
    const char *name;
    NAME_dtype dtype;
    int32_t ndim;
    const int64_t *shape; /* NAME_ANY_SIZE along an axis whose size each call chooses */
    int32_t is_number;
    int32_t is_written;       /* an argument that the call writes to */
    const char *const *sizes; /* of each such axis the size in words, such as "batch" or "2*batch+1", and of others NULL; NULL
                                 where there is none */
} NAME_info;

#define NAME_ANY_SIZE ((int64_t)-1)

/* Its fields may be 0. */
typedef struct {
    int32_t threads;   /* that a call may use, the caller's own included; 0: as many as there are cores. Bits do not depend on it. */
    const char *level; /* the instructions to use, one of: @LEVELS@; NULL: the best that the processor has */
} NAME_options;

/* A function with its state. All functions may be called from any thread: calls that change an instance's state take turns,
   and different instances do not wait for each other. */
typedef struct NAME_instance NAME_instance;

NAME_API int NAME_create(NAME_instance **out, const NAME_options *options); /* options may be NULL */
NAME_API void NAME_destroy(NAME_instance *instance);                        /* NULL is let pass */

/* One call. Inputs may lie in any strides; one that the call writes to lies in row-major order, and memory that is written, that
   of results included, is apart from all other. Where it fails the state is as before, and results are unspecified. */
NAME_API int NAME_run(NAME_instance *instance, const NAME_value *inputs, size_t input_count, NAME_value *outputs,
                      size_t output_count);

/* The shape of a result, for a call with these arguments, whose elements are not looked at: `data` may be NULL. */
NAME_API int NAME_output_shape(size_t index, const NAME_value *inputs, size_t input_count, int64_t *shape);

/* Copies a piece of state to the memory of `out`, or from that of `value`. A number is put into `out->number`. */
NAME_API int NAME_get_state(NAME_instance *instance, const char *name, NAME_value *out);
NAME_API int NAME_set_state(NAME_instance *instance, const char *name, const NAME_value *value);

/* Why the calling thread's last function that did not return NAME_OK did not. */
NAME_API const char *NAME_message(void);

/* What there is; NULL for an index that is too large. */
NAME_API size_t NAME_input_count(void);
NAME_API size_t NAME_output_count(void);
NAME_API size_t NAME_state_count(void);
NAME_API const NAME_info *NAME_input_info(size_t index);
NAME_API const NAME_info *NAME_output_info(size_t index);
NAME_API const NAME_info *NAME_state_info(size_t index);

/* Sizes that each call chooses: their names, and for which of them there is code, one combination after the other, with a number
   for each name. Where none is open there is one combination, of no numbers. */
NAME_API size_t NAME_size_count(void);
NAME_API const char *NAME_size_name(size_t index);
NAME_API size_t NAME_combination_count(void);
NAME_API const int64_t *NAME_combination(size_t index);

NAME_API const char *NAME_version(void);                          /* of tracejit */
NAME_API const char *NAME_level(const NAME_instance *instance);   /* the instructions that it uses */
NAME_API int32_t NAME_threads(const NAME_instance *instance);

static inline NAME_value NAME_array(NAME_dtype dtype, void *data, int32_t ndim, const int64_t *shape) {
    NAME_value value = {dtype, ndim, 0, data, shape, NULL, {0}};
    return value;
}

static inline NAME_value NAME_integer(int64_t number) {
    NAME_value value = {NAME_INT64, 0, 1, NULL, NULL, NULL, {0}};
    value.number.integer = number;
    return value;
}

static inline NAME_value NAME_real(double number) {
    NAME_value value = {NAME_FLOAT64, 0, 1, NULL, NULL, NULL, {0}};
    value.number.real = number;
    return value;
}

static inline NAME_value NAME_truth(int number) {
    NAME_value value = {NAME_BOOL, 0, 1, NULL, NULL, NULL, {0}};
    value.number.integer = number != 0;
    return value;
}

#ifdef __cplusplus
}
#endif

#endif
