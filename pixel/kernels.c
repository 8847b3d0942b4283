#include "resample.h"

#include <string.h>

enum { point = PX_POINT, half = 1 << (PX_POINT - 1), colour_point = 14 };

static inline uint8_t clip(int32_t v) {
	v >>= point;
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

// The plain kernels are written for the compiler to vectorise: on arm64 with
// NEON, which every such processor has, on x86-64 with SSE2.

static void down_plain(const uint8_t *restrict src, size_t stride, const int16_t *restrict weight, int count,
	uint8_t *restrict dst, int n) {
	enum { chunk = 256 };
	int32_t sum[chunk];
	for (int at = 0; at < n; at += chunk) {
		int m = n - at < chunk ? n - at : chunk;
		for (int i = 0; i < m; i++)
			sum[i] = half;
		for (int j = 0; j < count; j++) {
			const uint8_t *row = src + (size_t)j * stride + at;
			int16_t w = weight[j];
			for (int i = 0; i < m; i++)
				sum[i] += (int16_t)row[i] * w;
		}
		for (int i = 0; i < m; i++)
			dst[at + i] = clip(sum[i]);
	}
}

typedef int32_t v4 __attribute__((vector_size(16)));

static void across_plain(const uint8_t *restrict src, int offset, const px_taps *t, uint8_t *restrict dst, int n) {
	const int16_t *weight = t->weight;
	for (int i = 0; i < n; i++, weight += t->stride, dst += 3) {
		const uint8_t *p = src + (size_t)(t->from[2 * i] - offset) * 3;
		v4 sum = {half, half, half, half};
		for (int j = 0, g = 0; j < t->from[2 * i + 1]; j++, p += 3) {
			int32_t w = weight[g];
			v4 px = {p[0], p[1], p[2], 0};
			sum += px * w;
			if (++g % 8 == PX_GROUP)
				g += 8 - PX_GROUP;
		}
		dst[0] = clip(sum[0]);
		dst[1] = clip(sum[1]);
		dst[2] = clip(sum[2]);
	}
}

#define COLOUR_BODY \
	int32_t a0 = m[0], a1 = m[1], a2 = m[2], b0 = m[3], b1 = m[4], b2 = m[5], c0 = m[6], c1 = m[7], c2 = m[8]; \
	shift += 1 << (colour_point - 1); \
	for (int i = 0; i < pixels; i++) { \
		int32_t r = pix[3 * i], g = pix[3 * i + 1], b = pix[3 * i + 2]; \
		int32_t x = (a0 * r + a1 * g + a2 * b + shift) >> colour_point; \
		int32_t y = (b0 * r + b1 * g + b2 * b + shift) >> colour_point; \
		int32_t z = (c0 * r + c1 * g + c2 * b + shift) >> colour_point; \
		pix[3 * i] = (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x); \
		pix[3 * i + 1] = (uint8_t)(y < 0 ? 0 : y > 255 ? 255 : y); \
		pix[3 * i + 2] = (uint8_t)(z < 0 ? 0 : z > 255 ? 255 : z); \
	}

#define SUMS_BODY \
	sum[0] = sum[1] = sum[2] = 0; \
	for (int at = 0; at < pixels;) { \
		int stop = at + 4096 < pixels ? at + 4096 : pixels; \
		uint32_t r = 0, g = 0, b = 0; \
		for (; at < stop; at++) { \
			r += pix[3 * at]; \
			g += pix[3 * at + 1]; \
			b += pix[3 * at + 2]; \
		} \
		sum[0] += r; \
		sum[1] += g; \
		sum[2] += b; \
	}

static void colour_plain(uint8_t *restrict pix, int pixels, const int32_t m[9], int32_t shift) {
	COLOUR_BODY;
}
static void sums_plain(const uint8_t *restrict pix, int pixels, int64_t sum[3]) {
	SUMS_BODY;
}

static const px_kernels plain = {
	.name = "plain",
	.down = down_plain,
	.across = across_plain,
	.colour = colour_plain,
	.sums = sums_plain,
};

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma,bmi2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi2")))

AVX2 static void colour_avx2(uint8_t *restrict pix, int pixels, const int32_t m[9], int32_t shift) {
	COLOUR_BODY;
}
AVX2 static void sums_avx2(const uint8_t *restrict pix, int pixels, int64_t sum[3]) {
	SUMS_BODY;
}
AVX512 static void colour_avx512(uint8_t *restrict pix, int pixels, const int32_t m[9], int32_t shift) {
	COLOUR_BODY;
}
AVX512 static void sums_avx512(const uint8_t *restrict pix, int pixels, int64_t sum[3]) {
	SUMS_BODY;
}

static inline int32_t two(const int16_t *w) {
	int32_t v;
	memcpy(&v, w, sizeof v);
	return v;
}

// Rows are taken in pairs: their bytes side by side, as 16 bits, times the two
// weights. Unpacking and packing work in lanes, so the order comes out right.
// Weights beyond count are zero; the row beside the last is the last again.
AVX2 static void down_avx2(const uint8_t *restrict src, size_t stride, const int16_t *restrict weight, int count,
	uint8_t *restrict dst, int n) {
	const __m256i zero = _mm256_setzero_si256(), round = _mm256_set1_epi32(half);
	for (int at = 0; at < n; at += 32) {
		__m256i s0 = round, s1 = round, s2 = round, s3 = round;
		for (int j = 0; j < count; j += 2) {
			const uint8_t *p = src + (size_t)j * stride + at;
			__m256i a = _mm256_loadu_si256((const __m256i *)p);
			__m256i b = _mm256_loadu_si256((const __m256i *)(j + 1 < count ? p + stride : p));
			__m256i w = _mm256_set1_epi32(two(weight + j));
			__m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
			s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(lo, zero), w));
			s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(lo, zero), w));
			s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(hi, zero), w));
			s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(hi, zero), w));
		}
		s0 = _mm256_packs_epi32(_mm256_srai_epi32(s0, point), _mm256_srai_epi32(s1, point));
		s2 = _mm256_packs_epi32(_mm256_srai_epi32(s2, point), _mm256_srai_epi32(s3, point));
		_mm256_storeu_si256((__m256i *)(dst + at), _mm256_packus_epi16(s0, s2));
	}
}

AVX512 static void down_avx512(const uint8_t *restrict src, size_t stride, const int16_t *restrict weight, int count,
	uint8_t *restrict dst, int n) {
	const __m512i zero = _mm512_setzero_si512(), round = _mm512_set1_epi32(half);
	for (int at = 0; at < n; at += 64) {
		__m512i s0 = round, s1 = round, s2 = round, s3 = round;
		for (int j = 0; j < count; j += 2) {
			const uint8_t *p = src + (size_t)j * stride + at;
			__m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(j + 1 < count ? p + stride : p);
			__m512i w = _mm512_set1_epi32(two(weight + j));
			__m512i lo = _mm512_unpacklo_epi8(a, b), hi = _mm512_unpackhi_epi8(a, b);
			s0 = _mm512_add_epi32(s0, _mm512_madd_epi16(_mm512_unpacklo_epi8(lo, zero), w));
			s1 = _mm512_add_epi32(s1, _mm512_madd_epi16(_mm512_unpackhi_epi8(lo, zero), w));
			s2 = _mm512_add_epi32(s2, _mm512_madd_epi16(_mm512_unpacklo_epi8(hi, zero), w));
			s3 = _mm512_add_epi32(s3, _mm512_madd_epi16(_mm512_unpackhi_epi8(hi, zero), w));
		}
		s0 = _mm512_packs_epi32(_mm512_srai_epi32(s0, point), _mm512_srai_epi32(s1, point));
		s2 = _mm512_packs_epi32(_mm512_srai_epi32(s2, point), _mm512_srai_epi32(s3, point));
		_mm512_storeu_si512(dst + at, _mm512_packus_epi16(s0, s2));
	}
}

// Five pixels are fifteen bytes of a load of sixteen: the first two, the next
// two and the fifth are shuffled into pairs of 16 bits for the multiply-adds.
// Two output pixels are made at a time, one in each lane. Most images are
// enlarged or little reduced: then two or four taps are all there are.
AVX2 static inline __attribute__((always_inline)) __m256i two_pixels(
	const uint8_t *a, const uint8_t *b, const int16_t *w0, const int16_t *w1, int groups, int most) {
	const __m256i p01 =
		_mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
	const __m256i p23 =
		_mm256_broadcastsi128_si256(_mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
	const __m256i p4 = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(12, -1, -1, -1, 13, -1, -1, -1, 14, -1, -1, -1, -1, -1, -1, -1));
	__m256i sum = _mm256_set1_epi32(half);
	for (int g = 0; g < groups; g++, a += 15, b += 15, w0 += 8, w1 += 8) {
		__m256i px = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a)),
			_mm_loadu_si128((const __m128i *)b), 1);
		__m256i w = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)w0)),
			_mm_loadu_si128((const __m128i *)w1), 1);
		sum = _mm256_add_epi32(
			sum, _mm256_madd_epi16(_mm256_shuffle_epi8(px, p01), _mm256_shuffle_epi32(w, 0x00)));
		if (most > 2)
			sum = _mm256_add_epi32(
				sum, _mm256_madd_epi16(_mm256_shuffle_epi8(px, p23), _mm256_shuffle_epi32(w, 0x55)));
		if (most > 4)
			sum = _mm256_add_epi32(
				sum, _mm256_madd_epi16(_mm256_shuffle_epi8(px, p4), _mm256_shuffle_epi32(w, 0xaa)));
	}
	return _mm256_srai_epi32(sum, point);
}

AVX2 static inline __attribute__((always_inline)) void across_some(
	const uint8_t *restrict src, int offset, const px_taps *t, uint8_t *restrict dst, int n, int groups, int most) {
	// Four pixels of four bytes, 0 2 1 3, to twelve bytes in order.
	const __m128i order = _mm_setr_epi8(0, 1, 2, 8, 9, 10, 4, 5, 6, 12, 13, 14, -1, -1, -1, -1);
	const int32_t *from = t->from;
	const int16_t *w = t->weight;
	size_t stride = t->stride;
	src -= (ptrdiff_t)offset * 3;
	int i = 0;
	for (; i + 6 <= n; i += 4, from += 8, w += 4 * stride) { // six, for sixteen bytes are written
		__m256i x = two_pixels(src + from[0] * 3, src + from[2] * 3, w, w + stride, groups, most);
		__m256i y =
			two_pixels(src + from[4] * 3, src + from[6] * 3, w + 2 * stride, w + 3 * stride, groups, most);
		x = _mm256_packs_epi32(x, y);
		x = _mm256_packus_epi16(x, x);
		__m128i four = _mm_unpacklo_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
		_mm_storeu_si128((__m128i *)(dst + 3 * i), _mm_shuffle_epi8(four, order));
	}
	for (; i < n; i++, from += 2, w += stride) {
		__m256i x = two_pixels(src + from[0] * 3, src + from[0] * 3, w, w, groups, most);
		x = _mm256_packs_epi32(x, x);
		x = _mm256_packus_epi16(x, x);
		int v = _mm_cvtsi128_si32(_mm256_castsi256_si128(x));
		memcpy(dst + 3 * i, &v, 3); // never a byte more than the row has: the next may be another's
	}
}

AVX2 static void across_avx2(const uint8_t *restrict src, int offset, const px_taps *t, uint8_t *restrict dst, int n) {
	if (t->taken <= 2)
		across_some(src, offset, t, dst, n, 1, 2);
	else if (t->taken <= 4)
		across_some(src, offset, t, dst, n, 1, 4);
	else if (t->taken <= PX_GROUP)
		across_some(src, offset, t, dst, n, 1, PX_GROUP);
	else
		across_some(src, offset, t, dst, n, (t->taken + PX_GROUP - 1) / PX_GROUP, PX_GROUP);
}

static const px_kernels avx2 = {
	.name = "avx2",
	.down = down_avx2,
	.across = across_avx2,
	.colour = colour_avx2,
	.sums = sums_avx2,
};
static const px_kernels avx512 = {
	.name = "avx512",
	.down = down_avx512,
	.across = across_avx2,
	.colour = colour_avx512,
	.sums = sums_avx512,
};
#endif

static const px_kernels *sets[4];
static const px_kernels *best;

__attribute__((constructor)) static void choose(void) {
	int n = 0;
	best = sets[n++] = &plain;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
		best = sets[n++] = &avx2;
		if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
			__builtin_cpu_supports("avx512dq"))
			best = sets[n++] = &avx512;
	}
#endif
}

const px_kernels *px_best(void) {
	return best;
}
const px_kernels *px_nth(int i) {
	return i < 4 ? sets[i] : NULL;
}
void px_use(const px_kernels *k) {
	best = k;
}
