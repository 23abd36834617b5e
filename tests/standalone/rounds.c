/* Several libraries in one program: instances that are made, called, set, and ended again, with errors in between. */

#include <halved.h>
#include <looked_up.h>
#include <math.h>
#include <pthread.h>
#include <sized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <trained.h>

enum { ROWS = 4, COLUMNS = 3 };

#define WANT(claim)                                            \
    if (!(claim)) {                                            \
        fprintf(stderr, "line %d: %s\n", __LINE__, #claim);    \
        exit(1);                                               \
    }

static float images[ROWS * COLUMNS];
static const int64_t images_shape[] = {ROWS, COLUMNS}, labels_shape[] = {ROWS}, weight_shape[] = {2, COLUMNS};

static int train(trained_instance *instance, int64_t label, float *loss) {
    int64_t labels[ROWS] = {0, 1, label, 0};
    const trained_value given[] = {
        trained_array(trained_FLOAT32, images, 2, images_shape),
        trained_array(trained_INT64, labels, 1, labels_shape),
    };
    trained_value result = trained_array(trained_FLOAT32, loss, 0, NULL);
    return trained_run(instance, given, 2, &result, 1);
}

static int look_up(looked_up_instance *instance, int64_t index, float *found) {
    const int64_t strides[] = {4, 4 * ROWS};
    const looked_up_value given[] = {
        {looked_up_FLOAT32, 2, 0, images, images_shape, strides, {0}},
        looked_up_array(looked_up_INT64, &index, 0, NULL),
        looked_up_real(0.5),
    };
    const int64_t shape[] = {COLUMNS};
    looked_up_value result = looked_up_array(looked_up_FLOAT32, found, 1, shape);
    return looked_up_run(instance, given, 3, &result, 1);
}

static float train_round(const trained_options *options) {
    trained_instance *instance;
    float loss = 0, again = 0, weight[2 * COLUMNS], later[2 * COLUMNS];
    trained_value value = trained_array(trained_FLOAT32, weight, 2, weight_shape);
    trained_value seen = trained_array(trained_FLOAT32, later, 2, weight_shape);
    WANT(trained_create(&instance, options) == trained_OK);
    WANT(trained_get_state(instance, "model.weight.grad", &seen) == trained_ERROR_STATE);
    WANT(train(instance, 1, &loss) == trained_OK);
    WANT(trained_get_state(instance, "model.weight", &value) == trained_OK);
    WANT(train(instance, 2, &again) == trained_ERROR_INDEX);
    WANT(strstr(trained_message(), "label is out of bounds"));
    WANT(trained_get_state(instance, "model.weight", &seen) == trained_OK);
    WANT(memcmp(weight, later, sizeof weight) == 0);
    WANT(train(instance, 1, &again) == trained_OK);
    WANT(again < loss);
    WANT(trained_set_state(instance, "model.weight", &value) == trained_OK);
    trained_destroy(instance);
    return again;
}

static void look_up_round(const looked_up_options *options) {
    looked_up_instance *instance;
    float found[COLUMNS], table[ROWS] = {1, 2, 3, 4};
    const int64_t shape[] = {ROWS};
    looked_up_value value = looked_up_array(looked_up_FLOAT32, table, 1, shape);
    WANT(looked_up_create(&instance, options) == looked_up_OK);
    WANT(looked_up_set_state(instance, "table", &value) == looked_up_OK);
    WANT(look_up(instance, -1, found) == looked_up_OK);
    WANT(found[0] == images[ROWS - 1] * 4 * 0.5f);
    WANT(look_up(instance, ROWS, found) == looked_up_ERROR_INDEX);
    looked_up_destroy(instance);
}

/* Decisions, a loop over data, and an exception, which leaves what the function has changed by then. */
static void halve_round(const halved_options *options) {
    halved_instance *instance;
    float x[2] = {8, 6}, before[2], after[2], kept[2];
    const int64_t shape[] = {2};
    const halved_value given = halved_array(halved_FLOAT32, x, 1, shape);
    halved_value results[] = {
        halved_array(halved_FLOAT32, before, 1, shape),
        halved_array(halved_FLOAT32, after, 1, shape),
        halved_integer(0),
    };
    halved_value state = halved_array(halved_FLOAT32, kept, 1, shape), calls = halved_integer(0);
    WANT(halved_create(&instance, options) == halved_OK);
    for (int turn = 0; turn < 3; turn++) {
        WANT(halved_run(instance, &given, 1, results, 3) == halved_OK);
        WANT(before[0] == 2 && before[1] == 1.5f && after[0] == 1 && after[1] == 0.75f && results[2].number.integer == 3);
    }
    x[1] = INFINITY;
    WANT(halved_run(instance, &given, 1, results, 3) == halved_ERROR_RAISED);
    WANT(strstr(halved_message(), "ValueError: not finite"));
    x[0] = x[1] = 1;
    WANT(halved_run(instance, &given, 1, results, 3) == halved_OK);
    WANT(before[0] == 2 && after[1] == 1 && results[2].number.integer == 0);
    WANT(halved_get_state(instance, "kept", &state) == halved_OK && kept[0] == 4 && kept[1] == 3.25f);
    WANT(halved_get_state(instance, "calls", &calls) == halved_OK && calls.number.integer == 5);
    halved_destroy(instance);
}

/* One state for calls of several sizes, whose memory goes from one to the other. */
static void sized_round(const sized_options *options) {
    sized_instance *instance;
    float losses[ROWS], weight[2 * COLUMNS];
    int64_t labels[ROWS] = {0, 1, 1, 0};
    sized_value kept = sized_array(sized_FLOAT32, weight, 2, weight_shape);
    WANT(sized_size_count() == 1 && strcmp(sized_size_name(0), "batch") == 0 && sized_combination_count() == 3);
    WANT(sized_input_info(0)->shape[0] == sized_ANY_SIZE && strcmp(sized_input_info(0)->sizes[0], "batch") == 0);
    WANT(sized_create(&instance, options) == sized_OK);
    for (int64_t turn = 0; turn < 12; turn++) {
        const int64_t rows = turn % (ROWS + 1), shape[] = {rows, COLUMNS}, strides[] = {4, 4 * ROWS};
        int64_t found = -1;
        const sized_value given[] = {
            {sized_FLOAT32, 2, 0, images, shape, strides, {0}},
            sized_array(sized_INT64, labels, 1, shape),
        };
        const int code = sized_output_shape(0, given, 2, &found);
        sized_value result = sized_array(sized_FLOAT32, losses, 1, &found);
        WANT(code == (rows % 3 ? sized_OK : sized_ERROR_SIZES));
        WANT(sized_run(instance, given, 2, &result, 1) == code);
        WANT(code ? strstr(sized_message(), "but for batch=1; batch=2; batch=4") != NULL : found == rows && losses[0] > 0);
        WANT(turn % 4 != 1 || sized_get_state(instance, "model.weight", &kept) == sized_OK);
        WANT(turn % 4 != 2 || sized_set_state(instance, "model.weight", &kept) == sized_OK);
    }
    sized_destroy(instance);
}

static looked_up_instance *shared;

static void *look_up_often(void *unused) {
    float found[COLUMNS];
    for (int turn = 0; turn < 200; turn++) WANT(look_up(shared, turn % ROWS, found) == looked_up_OK);
    return unused;
}

/* Calls that change an instance take turns: none is lost. */
static trained_instance *changing;

static void *train_often(void *unused) {
    float loss;
    for (int turn = 0; turn < 2000; turn++) WANT(train(changing, 1, &loss) == trained_OK);
    return unused;
}

static void in_threads(void *(*function)(void *)) {
    pthread_t threads[8];
    for (int number = 0; number < 8; number++) WANT(!pthread_create(&threads[number], NULL, function, NULL));
    for (int number = 0; number < 8; number++) pthread_join(threads[number], NULL);
}

int main(int count, char **arguments) {
    const int rounds = count > 1 ? atoi(arguments[1]) : 1;
    const trained_options options = {2, NULL};
    const looked_up_options others = {2, NULL};
    const halved_options halving = {2, NULL};
    const sized_options sizing = {2, NULL};
    trained_value steps = trained_integer(0);
    float last = 0;
    for (int place = 0; place < ROWS * COLUMNS; place++) images[place] = (float)place / 10;
    for (int round = 0; round < rounds; round++) {
        float now = train_round(&options);
        WANT(round == 0 || now == last);
        last = now;
        look_up_round(&others);
        halve_round(&halving);
        sized_round(&sizing);
    }
    WANT(looked_up_create(&shared, NULL) == looked_up_OK);
    in_threads(look_up_often);
    looked_up_destroy(shared);
    WANT(trained_create(&changing, NULL) == trained_OK);
    in_threads(train_often);
    WANT(trained_get_state(changing, "optimizer.state[model.weight].step", &steps) == trained_OK);
    WANT(steps.number.integer == 8 * 2000);
    trained_destroy(changing);

    /* What is loaded into this process. */
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    while (maps && fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        if (path) fputs(path, stdout);
    }
    if (maps) fclose(maps);
    return 0;
}
