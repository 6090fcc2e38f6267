// A Llama's decode step in one parallel region: no thread starts or ends within it, and the weights
// are one stream, in the order in which they are read. A matrix is cut into blocks of 16 rows; a block
// holds groups of 32 columns, so that each vector register has one number of each of the 16 rows.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <omp.h>
#include <thread>

using Floats = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));
using Shorts = uint16_t __attribute__((vector_size(32)));

struct Four {  // 16 rows of 32 columns in 4 bits, 0 to 15: number = level * scale + low
    Shorts scale, low;  // float16, one of each row
    Ints levels[4];  // in levels[j], bits 4k to 4k + 3 are column 8j + k
};
struct Eight {  // the same in 8 bits, -128 to 127: number = level * scale
    Shorts scale;
    Ints levels[8];  // in levels[j], byte k is column 4j + k
} __attribute__((packed, aligned(32)));
struct Sizes { int32_t layers, hidden, inner, heads, kv_heads, head_size, vocabulary, length, threads; float epsilon; };

static Floats widened(Shorts half) {  // float16 to float32; 2^112 moves the exponent's zero
    Ints bits = __builtin_convertvector(half, Ints);
    return (Floats)((Ints)((Floats)((bits & 0x7fff) << 13) * 0x1p112f) | (bits & 0x8000) << 16);
}

template <class Group> static void fetch_ahead(const Group* w) {  // memory answers late: ask early
    for (unsigned line = 0; line < sizeof *w; line += 64) __builtin_prefetch((const char*)w + 2048 + line);
}

static void sum_groups(const float* x, int columns, float* sums) {  // of 32 each
    for (int group = 0; group < columns / 32; group++) {
        sums[group] = 0;
        for (int i = 0; i < 32; i++) sums[group] += x[32 * group + i];
    }
}

static Floats times(const Four* w, const float* x, const float* sums, int columns) {  // 16 rows times x
    const Floats level = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};  // looked up by the lowest 4 bits
    Floats total = {};
    for (const float* end = x + columns; x < end; x += 32, w++, sums++) {
        Floats products = {}, others = {};
        fetch_ahead(w);
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 8; k += 2) {
                products += __builtin_shuffle(level, w->levels[j] >> 4 * k) * x[8 * j + k];
                others += __builtin_shuffle(level, w->levels[j] >> (4 * k + 4)) * x[8 * j + k + 1];
            }
        total += widened(w->scale) * (products + others) + widened(w->low) * *sums;
    }
    return total;
}

static Floats times(const Eight* w, const float* x, int columns) {
    Floats total = {};
    for (const float* end = x + columns; x < end; x += 32, w++) {
        Floats products = {}, others = {};
        fetch_ahead(w);
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 4; k += 2) {
                products += __builtin_convertvector(w->levels[j] << (24 - 8 * k) >> 24, Floats) * x[4 * j + k];
                others += __builtin_convertvector(w->levels[j] << (16 - 8 * k) >> 24, Floats) * x[4 * j + k + 1];
            }
        total += widened(w->scale) * (products + others);
    }
    return total;
}

static void norm(const float* x, const float* weight, int n, float epsilon, float* out) {
    float squares = 0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    float scale = 1 / std::sqrt(squares / n + epsilon);
    for (int i = 0; i < n; i++) out[i] = weight[i] * (x[i] * scale);
}

static void turn(float* head, const float* cos, const float* sin, int size) {  // rotary embedding
    for (int i = 0; i < size / 2; i++) {
        float a = head[i], b = head[i + size / 2];
        head[i] = a * cos[i] - b * sin[i];
        head[i + size / 2] = b * cos[i + size / 2] + a * sin[i + size / 2];
    }
}

static void attend(const float* q, const float* keys, const float* values, int seen, int size, float* scores, float* out) {
    float largest = -INFINITY, all = 0;
    for (int p = 0; p < seen; p++) {
        scores[p] = 0;
        for (int i = 0; i < size; i++) scores[p] += q[i] * keys[p * size + i];
        scores[p] /= std::sqrt((float)size);
        largest = std::fmax(largest, scores[p]);
    }
    for (int i = 0; i < size; i++) out[i] = 0;
    for (int p = 0; p < seen; p++) {
        float share = std::exp(scores[p] - largest);
        all += share;
        for (int i = 0; i < size; i++) out[i] += share * values[p * size + i];
    }
    for (int i = 0; i < size; i++) out[i] /= all;
}

// keys, values: (layers, kv_heads, length, head_size). work: hidden + inner + (heads + kv_heads) * head_size
// floats that all threads share, then hidden + length + inner + heads * head_size for each thread. Returns the likeliest next token.
extern "C" int32_t decode_step(const Sizes* s, const char* weights, const Eight* table, const float* cos, const float* sin,
                               float* keys, float* values, float* work, int32_t token, int32_t position) {
    const int hidden = s->hidden, inner = s->inner, size = s->head_size, queries = s->heads * size;
    float *x = work, *gated = x + hidden, *q = gated + inner, *seen = q + queries, *own = seen + queries;
    std::atomic<int> arrived{0};
    int32_t best = -1; float best_logit = -INFINITY;
#pragma omp parallel num_threads(s->threads)
    {
        const int threads = omp_get_num_threads(), me = omp_get_thread_num();
        float *h = own + (int64_t)me * (hidden + s->length + inner + queries), *scores = h + hidden, *sums = scores + s->length;
        int meetings = 0;
        auto meet = [&] {  // wait for the other threads, awake: to sleep and to be woken takes longer
            arrived++;
            meetings += threads;
            for (int spins = 0; arrived < meetings; spins++)
                if (spins > 20000) std::this_thread::yield();  // somebody else needs the processor
        };
        auto share = [&](int parts, auto&& work_on) {  // each thread takes its own part, in order
            for (int part = parts * me / threads; part < parts * (me + 1) / threads; part++) work_on(part);
        };
        const char* w = weights;
        auto vector = [&] { auto v = (const float*)w; w += hidden * 4; return v; };
        auto matrix = [&](int rows, int columns) { auto m = (const Four*)w; w += (int64_t)rows * columns / 512 * sizeof(Four); return m; };
        if (me == 0)
            for (int i = 0; i < hidden; i++) {
                const Eight& group = table[(int64_t)token / 16 * hidden / 32 + i / 32];
                x[i] = widened(group.scale)[token % 16] * (group.levels[i % 32 / 4] << (24 - i % 4 * 8) >> 24)[token % 16];
            }
        meet();
        for (int layer = 0; layer < s->layers; layer++) {
            float* k = keys + (int64_t)layer * s->kv_heads * s->length * size;
            float* v = values + (int64_t)layer * s->kv_heads * s->length * size;
            norm(x, vector(), hidden, s->epsilon, h);
            sum_groups(h, hidden, sums);
            auto qkv = matrix(queries + 2 * s->kv_heads * size, hidden);
            share(s->heads + 2 * s->kv_heads, [&](int head) {
                int kv = head - s->heads, is_value = kv >= s->kv_heads;
                float* to = kv < 0 ? q + head * size : ((is_value ? v : k) + ((int64_t)(kv - is_value * s->kv_heads) * s->length + position) * size);
                for (int row = 0; row < size; row += 16) *(Floats*)(to + row) = times(qkv + (head * size + row) / 16 * (hidden / 32), h, sums, hidden);
                if (!is_value) turn(to, cos + (int64_t)position * size, sin + (int64_t)position * size, size);
            });
            meet();
            share(s->heads, [&](int head) {
                int64_t kv = (int64_t)head / (s->heads / s->kv_heads) * s->length * size;
                attend(q + head * size, k + kv, v + kv, position + 1, size, scores, seen + head * size);
            });
            meet();
            sum_groups(seen, queries, sums);
            auto out = matrix(hidden, queries);
            share(hidden / 16, [&](int b) { ((Floats*)x)[b] += times(out + b * (queries / 32), seen, sums, queries); });
            meet();
            norm(x, vector(), hidden, s->epsilon, h);
            sum_groups(h, hidden, sums);
            auto gate_up = matrix(2 * inner, hidden);
            share(inner / 16, [&](int b) {
                Floats gate = times(gate_up + 2 * b * (hidden / 32), h, sums, hidden), up = times(gate_up + (2 * b + 1) * (hidden / 32), h, sums, hidden);
                for (int i = 0; i < 16; i++) gated[16 * b + i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
            });
            meet();
            sum_groups(gated, inner, sums);
            auto down = matrix(hidden, inner);
            share(hidden / 16, [&](int b) { ((Floats*)x)[b] += times(down + b * (inner / 32), gated, sums, inner); });
            meet();
        }
        norm(x, vector(), hidden, s->epsilon, h);
        int32_t mine = -1; float logit = -INFINITY;
        share(s->vocabulary / 16, [&](int b) {
            Floats logits = times((const Eight*)w + (int64_t)b * (hidden / 32), h, hidden);
            for (int i = 0; i < 16; i++) if (logits[i] > logit) logit = logits[i], mine = 16 * b + i;
        });
#pragma omp critical
        if (logit > best_logit || (logit == best_logit && mine < best)) best_logit = logit, best = mine;
    }
    return best;
}
