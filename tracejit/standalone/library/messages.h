/* Why the calling thread's last function failed, in words; numbers as Python writes them. */

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[1024];

__attribute__((format(printf, 2, 3))) static int fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return code;
}

const char *N(message)(void) { return message; }

/* Text that grows, and is cut where there is no more room. */
struct text {
    char *at;
    size_t left;
};

static void append(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    const size_t used = length < 0 ? 0 : (size_t)length < text->left ? (size_t)length : text->left - 1;
    text->at += used;
    text->left -= used;
}

/* A piece of text, or how a number in a word of the frame becomes one. */
struct part {
    enum { AS_IS, AS_BOOL, AS_INT, AS_FLOAT, AS_PYTHON } kind;
    size_t word;
    const char *format; /* or the text */
};

/* The decimal point of the program's locale becomes Python's. */
static void with_point(char *number) {
    char *point = number + strcspn(number, "0123456789");
    point += strspn(point, "0123456789");
    const size_t length = strcspn(point, "0123456789eE ");
    if (!*point || !length || !strchr("0123456789", point[length])) return;
    *point = '.';
    memmove(point + 1, point + length, strlen(point + length) + 1);
}

/* The next number in the last of the digits before the exponent; 0 where that takes a digit more. */
static int raise_last(char *digits) {
    for (char *at = strchr(digits, 'e'); at-- > digits;) {
        if (*at < '0' || *at > '9') continue;
        if (*at != '9') return ++*at;
        *at = '0';
    }
    return 0;
}

/* The fewest digits that are this float, the nearest of as many, as `%e` has them. Next to a power of two these may be those above
   the ones that it is rounded to. */
static void fewest_digits(char *out, size_t size, double number) {
    for (int precision = 0; precision < 17; precision++) {
        snprintf(out, size, "%.*e", precision, number);
        if (strtod(out, NULL) == number || (raise_last(out) && strtod(out, NULL) == number)) return;
    }
}

/* As Python's repr() has a float. */
static void write_float(char *out, size_t size, double number) {
    char scientific[40], digits[40] = "";
    int count = 0;
    if (!isfinite(number)) {
        snprintf(out, size, "%s", isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
        return;
    }
    fewest_digits(scientific, sizeof scientific, fabs(number));
    for (const char *at = scientific; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9') digits[count++] = *at;
    const int exponent = atoi(strchr(scientific, 'e') + 1), before = exponent + 1;
    const char *sign = signbit(number) ? "-" : "";
    if (exponent < -4 || exponent >= 16)
        snprintf(out, size, "%s%c%s%se%c%02d", sign, digits[0], count > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+',
                 abs(exponent));
    else if (exponent < 0)
        snprintf(out, size, "%s0.%.*s%s", sign, -before, "0000", digits);
    else if (count > before)
        snprintf(out, size, "%s%.*s.%s", sign, before, digits, digits + before);
    else
        snprintf(out, size, "%s%s%.*s.0", sign, digits, before - count, "0000000000000000");
}

static void append_part(struct text *text, const struct part *part, const word *words) {
    char number[400];
    double real = words[part->word].real;
    switch (part->kind) {
        case AS_IS: append(text, "%s", part->format); break;
        case AS_BOOL: append(text, part->format, words[part->word].integer ? "True" : "False"); break;
        case AS_INT: append(text, part->format, (long long)words[part->word].integer); break;
        case AS_PYTHON:
            write_float(number, sizeof number, real);
            append(text, part->format, number);
            break;
        case AS_FLOAT:
            snprintf(number, sizeof number, part->format, isnan(real) ? fabs(real) : real);
            with_point(number);
            append(text, "%s", number);
            break;
    }
}

static void say(const struct part *parts, size_t count, const word *words) {
    struct text text = {message, sizeof message};
    *message = 0;
    for (size_t number = 0; number < count; number++) append_part(&text, &parts[number], words);
}
