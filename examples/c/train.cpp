// Trains a network on images of digits, and writes its weights, in the order in which the library digits_infer has them.

#include <digits_infer.h>
#include <digits_train.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

constexpr std::int64_t batch = 64, pixels = 64, batches = 22, epochs = 20;

static void check(int code) {
    if (code != digits_train_OK) throw std::runtime_error(digits_train_message());
}

struct Destroy {
    void operator()(digits_train_instance *instance) const { digits_train_destroy(instance); }
};

using Trainer = std::unique_ptr<digits_train_instance, Destroy>;

static Trainer make_trainer() {
    digits_train_instance *made = nullptr;
    check(digits_train_create(&made, nullptr));
    return Trainer(made);
}

struct Digits {
    std::vector<float> images;
    std::vector<std::int64_t> labels;

    explicit Digits(const std::string &path) {
        std::ifstream file(path, std::ios::binary);
        std::int64_t count = 0;
        file.read(reinterpret_cast<char *>(&count), sizeof count);
        images.resize(static_cast<std::size_t>(count * pixels));
        labels.resize(static_cast<std::size_t>(count));
        file.read(reinterpret_cast<char *>(images.data()), static_cast<std::streamsize>(images.size() * sizeof(float)));
        file.read(reinterpret_cast<char *>(labels.data()), static_cast<std::streamsize>(labels.size() * sizeof(std::int64_t)));
        if (!file || count < batch * batches) throw std::runtime_error(path + " cannot be read");
    }
};

// One step; adds to the loss and to the number of images that were classified rightly.
static void step(Trainer &trainer, Digits &digits, std::int64_t first, double &loss, std::int64_t &right) {
    const std::int64_t images_shape[] = {batch, pixels}, labels_shape[] = {batch};
    float loss_now = 0;
    std::int64_t right_now = 0;
    const digits_train_value inputs[] = {
        digits_train_array(digits_train_FLOAT32, &digits.images[static_cast<std::size_t>(first * pixels)], 2, images_shape),
        digits_train_array(digits_train_INT64, &digits.labels[static_cast<std::size_t>(first)], 1, labels_shape),
    };
    digits_train_value outputs[] = {
        digits_train_array(digits_train_FLOAT32, &loss_now, 0, nullptr),
        digits_train_array(digits_train_INT64, &right_now, 0, nullptr),
    };
    check(digits_train_run(trainer.get(), inputs, 2, outputs, 2));
    loss += loss_now;
    right += right_now;
}

static void write_weights(Trainer &trainer, const std::string &path) {
    std::ofstream file(path, std::ios::binary);
    for (std::size_t index = 0; index < digits_infer_state_count(); index++) {
        const digits_infer_info *info = digits_infer_state_info(index);
        std::size_t count = 1;
        for (int axis = 0; axis < info->ndim; axis++) count *= static_cast<std::size_t>(info->shape[axis]);
        std::vector<float> weights(count);
        digits_train_value value = digits_train_array(digits_train_FLOAT32, weights.data(), info->ndim, info->shape);
        check(digits_train_get_state(trainer.get(), info->name, &value));
        file.write(reinterpret_cast<const char *>(weights.data()), static_cast<std::streamsize>(count * sizeof(float)));
    }
    if (!file) throw std::runtime_error(path + " cannot be written");
}

int main(int count, char **arguments) try {
    if (count < 3) throw std::runtime_error("train DIGITS WEIGHTS");
    Digits digits(arguments[1]);
    Trainer trainer = make_trainer();
    for (std::int64_t epoch = 1; epoch <= epochs; epoch++) {
        double loss = 0;
        std::int64_t right = 0;
        for (std::int64_t first = 0; first < batches * batch; first += batch) step(trainer, digits, first, loss, right);
        std::printf("epoch %2d  loss %.4f  accuracy %.4f\n", static_cast<int>(epoch), loss / batches,
                    static_cast<double>(right) / static_cast<double>(batches * batch));
    }
    write_weights(trainer, arguments[2]);
    return 0;
} catch (const std::exception &error) {
    std::cerr << "train: " << error.what() << "\n";
    return 1;
}
