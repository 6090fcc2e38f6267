// A Llama's decode step in one parallel region: no thread starts or ends within it, and the weights
// are one stream, in the order in which they are read. A matrix is cut into blocks of 16 rows, a
// block into groups of 32 columns, so that a vector register has something of each of its rows.
#include <omp.h>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>
#ifdef __AVX512VNNI__
#include <immintrin.h>
#endif

using Floats = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(32)));  // float16
using Vector = std::vector<Floats>;

struct Four {  // 16 rows of 32 columns in 4 bits, 0 to 15: number = level * scale + low
    static constexpr int bits = 4, mask = 0x0f0f0f0f;
    Halves scale, low;  // one of each row
    Ints levels[4];     // in levels[j] >> 4k, the lower half of byte b is column 8j + 4k + b
};
struct Eight {  // the same in 8 bits, 0 to 255: number = (level - 128) * scale
    static constexpr int bits = 8, mask = -1;
    Halves scale;
    Ints levels[8];  // in levels[j], byte b is column 4j + b
} __attribute__((packed, aligned(32)));
struct Whole {  // 32 numbers of a vector in 24 bits: number = (65536 * high + 256 * middle + low) * step
    int32_t high[8], middle[8], low[8];  // four numbers in each, 8 signed bits of every number
    float step, sum;
};
struct Sizes { int32_t layers, hidden, inner, heads, kv_heads, head_size, vocabulary, length, threads; float epsilon; };

static Floats floats(Ints numbers) { return __builtin_convertvector(numbers, Floats); }

static Floats floats(Halves numbers) {
#ifdef __AVX512VNNI__
    return (Floats)_mm512_cvtph_ps((__m256i)numbers);
#else
    Ints bits = __builtin_convertvector(numbers, Ints);  // 2^112 moves the exponent's zero
    return (Floats)((Ints)((Floats)((bits & 0x7fff) << 13) * 0x1p112f) | (bits & 0x8000) << 16);
#endif
}

static Ints plus_products(Ints sums, Ints levels, int32_t x) {  // of each row's four bytes with those of x
#ifdef __AVX512VNNI__
    return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)levels, _mm512_set1_epi32(x));
#else
    for (int at = 0; at < 32; at += 8) sums += (levels >> at & 255) * (int8_t)(x >> at);
    return sums;
#endif
}

// Return 16 rows times the vector. Products are summed up as integers, which rounds nothing.
template <class Group> static Floats times(const Group* matrix, int block, const std::vector<Whole>& vector) {
    const Group* w = matrix + (int64_t)block * vector.size();
    Floats rows = {};
    for (const Whole& x : vector) {
        for (unsigned line = 0; line < sizeof *w; line += 64)  // memory answers late: ask early
            __builtin_prefetch((const char*)w + 2048 + line);
        Ints high = {}, middle = {}, low = {};
        for (int i = 0; i < 8; i++) {
            Ints levels = w->levels[i * Group::bits / 8] >> i * Group::bits % 8 & Group::mask;
            high = plus_products(high, levels, x.high[i]);
            middle = plus_products(middle, levels, x.middle[i]);
            low = plus_products(low, levels, x.low[i]);
        }
        Floats scale = floats(w->scale);
        rows += scale * x.step * (65536 * floats(high) + floats(256 * middle + low));
        if constexpr (Group::bits == 4) rows += floats(w->low) * x.sum;
        else rows += scale * (-128 * x.sum);
        w++;
    }
    return rows;
}

static std::vector<Whole> in_whole_numbers(const Vector& vector) {
    std::vector<Whole> groups(vector.size() / 2);
    auto x = (const float*)vector.data();
    for (Whole& to : groups) {
        float largest = 1e-30f;
        for (int i = 0; i < 32; i++) largest = std::fmax(largest, std::fabs(x[i]));
        const float most = 127 << 16, in_steps = most / largest;
        int32_t whole[32], sum = 0;
        for (int i = 0; i < 32; i++) whole[i] = std::rint(*x++ * in_steps);
        for (int i = 0; i < 32; i++) sum += whole[i];
        for (int i = 0; i < 32; i++) ((int8_t*)to.low)[i] = whole[i];
        for (int i = 0; i < 32; i++) ((int8_t*)to.middle)[i] = (whole[i] + 0x80) >> 8;  // low may be negative
        for (int i = 0; i < 32; i++) ((int8_t*)to.high)[i] = (whole[i] + 0x8080) >> 16;
        to.step = largest / most;
        to.sum = to.step * sum;
    }
    return groups;
}

static Vector norm(const Vector& vector, const Floats* weight, float epsilon) {
    Vector out(vector.size());
    auto x = (const float*)vector.data();
    float squares = 0;
    for (size_t i = 0; i < 16 * out.size(); i++) squares += x[i] * x[i];
    const float scale = 1 / std::sqrt(squares / (16 * out.size()) + epsilon);
    for (size_t i = 0; i < out.size(); i++) out[i] = weight[i] * (vector[i] * scale);
    return out;
}

// One query looks at all keys and values so far, which lie so many numbers apart.
static void attend(const float* q, const float* keys, const float* values, int apart, int seen, int size, float* out) {
    std::vector<float> scores(seen);
    float largest = -1e30f, all = 0;
    for (int p = 0; p < seen; p++) {
        for (int i = 0; i < size; i++) scores[p] += q[i] * keys[p * apart + i];
        scores[p] /= std::sqrt((float)size);
        largest = std::fmax(largest, scores[p]);
    }
    for (int i = 0; i < size; i++) out[i] = 0;
    for (int p = 0; p < seen; p++) {
        float share = std::exp(scores[p] - largest);
        all += share;
        for (int i = 0; i < size; i++) out[i] += share * values[p * apart + i];
    }
    for (int i = 0; i < size; i++) out[i] /= all;
}

// cos, sin: (length, head_size / 2). past: (layers, length, 2, kv_heads, head_size), the keys and values of
// each position. In queries and keys, 16 numbers of a head's first half and 16 of its second take turns.
// Returns the likeliest next token.
extern "C" int32_t decode_step(const Sizes* s, const char* weights, const Eight* table, const Floats* cos,
                               const Floats* sin, Floats* past, int32_t token, int32_t position) {
    const int hidden = s->hidden / 16, inner = s->inner / 16, size = s->head_size / 16;  // in registers
    const int queries = s->heads * size, keys = s->kv_heads * size;
    Vector x(hidden), q(queries), seen(queries), gated(inner);
    for (int i = 0; i < s->hidden; i++) {
        const Eight& group = table[token / 16 * (hidden / 2) + i / 32];
        int level = group.levels[i % 32 / 4][token % 16] >> i % 4 * 8 & 255;
        x[i / 16][i % 16] = floats(group.scale)[token % 16] * (level - 128);
    }
    std::atomic<int> arrived{0};
    int32_t best = -1;
    float best_logit = -1e30f;
#pragma omp parallel num_threads(s->threads)
    {
        const int threads = omp_get_num_threads(), me = omp_get_thread_num();
        int meetings = 0;
        auto share = [&](int parts, auto&& work_on) {  // each thread works on its own part, in order
            for (int part = parts * me / threads; part < parts * (me + 1) / threads; part++) work_on(part);
            arrived++;  // and waits for the others, awake: to sleep and to be woken takes longer
            meetings += threads;
            for (int spins = 0; arrived < meetings; spins++)
                if (spins > 20000) std::this_thread::yield();  // somebody else needs the processor
        };
        const char* w = weights;
        auto normed = [&] { auto weight = (const Floats*)w; w += s->hidden * 4; return norm(x, weight, s->epsilon); };
        auto matrix = [&](int rows, int columns) { auto m = (const Four*)w; w += (int64_t)rows * columns / 2 * sizeof *m; return m; };
        for (int layer = 0; layer < s->layers; layer++) {
            Floats* first = past + (int64_t)layer * s->length * 2 * keys;
            Floats* now = first + (int64_t)position * 2 * keys;
            auto h = in_whole_numbers(normed());
            auto qkv = matrix(queries + 2 * keys, hidden);
            share(queries / 2 + keys, [&](int pair) {  // the halves of a head turn each other: rotary embedding
                Floats a = times(qkv, 2 * pair, h), b = times(qkv, 2 * pair + 1, h);
                Floats* to = 2 * pair < queries ? &q[2 * pair] : now + 2 * pair - queries;
                int angle = position * (size / 2) + pair % (size / 2);
                bool turns = 2 * pair < queries + keys;  // values do not
                to[0] = turns ? a * cos[angle] - b * sin[angle] : a;
                to[1] = turns ? b * cos[angle] + a * sin[angle] : b;
            });
            share(s->heads, [&](int head) {
                Floats* k = first + head / (s->heads / s->kv_heads) * size;
                attend((float*)&q[head * size], (float*)k, (float*)(k + keys), 32 * keys, position + 1, 16 * size, (float*)&seen[head * size]);
            });
            h = in_whole_numbers(seen);
            auto out = matrix(hidden, queries);
            share(hidden, [&](int block) { x[block] += times(out, block, h); });
            h = in_whole_numbers(normed());
            auto gate_up = matrix(2 * inner, hidden);
            share(inner, [&](int block) {
                Floats gate = times(gate_up, 2 * block, h), up = times(gate_up, 2 * block + 1, h);
                for (int i = 0; i < 16; i++) gated[block][i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
            });
            h = in_whole_numbers(gated);
            auto down = matrix(hidden, inner);
            share(hidden, [&](int block) { x[block] += times(down, block, h); });
        }
        auto h = in_whole_numbers(normed());
        int32_t likeliest = -1;
        float largest = -1e30f;
        share(s->vocabulary / 16, [&](int block) {
            Floats logits = times((const Eight*)w, block, h);
            for (int i = 0; i < 16; i++)
                if (logits[i] > largest) largest = logits[i], likeliest = 16 * block + i;
        });
#pragma omp critical
        if (largest > best_logit || (largest == best_logit && likeliest < best)) best_logit = largest, best = likeliest;
    }
    return best;
}
