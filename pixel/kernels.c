#include "resample.h"

#include <string.h>

enum { point = PX_POINT, half = 1 << (PX_POINT - 1), colour_point = 14 };

static inline uint8_t clip(int32_t v) {
	v >>= point;
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

// The plain kernels are written for the compiler to vectorise: on arm64 with
// NEON, which every such processor has, on x86-64 with SSE2.

static void pack_plain(int32_t *weight, int groups, int coarse) {
	(void)weight, (void)groups, (void)coarse; // as they are
}

typedef int32_t v4 __attribute__((vector_size(16)));

static void across_plain(const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n) {
	for (int row = 0; row < 4; row++) {
		const int32_t *weight = t->weight;
		uint8_t *to = dst[row];
		for (int i = 0; i < n; i++, weight += t->stride, to += 3) {
			const uint8_t *p = src[row] + (size_t)t->from[2 * i] * 3;
			v4 sum = {half, half, half, half};
			for (int j = 0; j < t->from[2 * i + 1]; j++, p += 3) {
				v4 px = {p[0], p[1], p[2], 0};
				sum += px * weight[j];
			}
			to[0] = clip(sum[0]);
			to[1] = clip(sum[1]);
			to[2] = clip(sum[2]);
		}
	}
}

static void down_plain(const uint8_t *restrict src, size_t stride, const int32_t *restrict weight, int count,
	int coarse, uint8_t *restrict dst, int n) {
	(void)coarse;
	enum { chunk = 256 };
	int32_t sum[chunk];
	for (int at = 0; at < n; at += chunk) {
		int m = n - at < chunk ? n - at : chunk;
		for (int i = 0; i < m; i++)
			sum[i] = half;
		for (int j = 0; j < count; j++) {
			const uint8_t *row = src + (size_t)j * stride + at;
			int32_t w = weight[j];
			for (int i = 0; i < m; i++)
				sum[i] += row[i] * w;
		}
		for (int i = 0; i < m; i++)
			dst[at + i] = clip(sum[i]);
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
	.pack = pack_plain,
	.across = across_plain,
	.down = down_plain,
	.colour = colour_plain,
	.sums = sums_plain,
};

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma,bmi2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,bmi2")))

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

// No instruction multiplies many bytes by weights of 23 bits. Weights are taken apart
// instead, into numbers that one does multiply, and the sums put together
// again: what overflows on the way is the same modulo 2^32, and so is the end.

// With AVX2 a weight is high * 2^12 + low, each of 16 bits, and pixels go in pairs: {high of
// 0 and 1, of 2 and 3, low of 0 and 1, of 2 and 3}. A coarse one is 16 bits as it is, with
// coarse_point of them behind the point: {0 and 1, 2 and 3}.
enum { low_bits = 12, coarse_point = point - PX_COARSE };

static inline int32_t pair(int32_t a, int32_t b) {
	return (int32_t)((uint32_t)b << 16 | (uint16_t)a);
}

AVX2 static void pack_avx2(int32_t *weight, int groups, int coarse) {
	for (; groups > 0; groups--, weight += PX_GROUP) {
		if (coarse) {
			weight[0] = pair(weight[0] >> PX_COARSE, weight[1] >> PX_COARSE);
			weight[1] = pair(weight[2] >> PX_COARSE, weight[3] >> PX_COARSE);
			continue;
		}
		int32_t high[PX_GROUP], low[PX_GROUP];
		for (int j = 0; j < PX_GROUP; j++) {
			high[j] = (weight[j] + (1 << (low_bits - 1))) >> low_bits;
			low[j] = weight[j] - high[j] * (1 << low_bits);
		}
		weight[0] = pair(high[0], high[1]);
		weight[1] = pair(high[2], high[3]);
		weight[2] = pair(low[0], low[1]);
		weight[3] = pair(low[2], low[3]);
	}
}

AVX2 static inline __m256i coarse_whole(__m256i sum) {
	return _mm256_srai_epi32(sum, coarse_point);
}

AVX2 static inline __m256i whole_avx2(__m256i high, __m256i low) {
	return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, low_bits), low), point);
}

AVX2 static inline __m256i madd_avx2(__m256i sum, __m256i pixels, int32_t weights) {
	return _mm256_add_epi32(sum, _mm256_madd_epi16(pixels, _mm256_set1_epi32(weights)));
}

AVX2 static inline __m256i two_rows(const uint8_t *a, const uint8_t *b) {
	return _mm256_inserti128_si256(
		_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a)), _mm_loadu_si128((const __m128i *)b), 1);
}

// pixel256 is an output pixel of four lines. A lane is a line: the same pixel of four
// of them is made at once, since all have its weights. Of sixteen bytes that are loaded, the
// twelve of four pixels are shuffled into pairs of 16 bits.
typedef struct pixel256 {
	__m256i x, y; // of rows 0 and 1, 2 and 3: red, green, blue, nothing
} pixel256;

// pixel_avx2 makes an output pixel of groups groups, in whose last at most some pixels count.
AVX2 static inline __attribute__((always_inline)) pixel256 pixel_avx2(
	const uint8_t *const src[4], size_t at, const int32_t *w, int groups, int some, int coarse) {
	const __m256i p01 =
		_mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
	const __m256i p23 =
		_mm256_broadcastsi128_si256(_mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
	__m256i high0 = _mm256_set1_epi32(coarse ? half >> PX_COARSE : 0), high1 = high0;
	__m256i low0 = _mm256_set1_epi32(half), low1 = low0;
	for (int g = 0; g < groups; g++, at += PX_GROUP * 3, w += PX_GROUP) {
		__m256i x = two_rows(src[0] + at, src[1] + at), y = two_rows(src[2] + at, src[3] + at);
		__m256i x01 = _mm256_shuffle_epi8(x, p01), y01 = _mm256_shuffle_epi8(y, p01);
		high0 = madd_avx2(high0, x01, w[0]);
		high1 = madd_avx2(high1, y01, w[0]);
		if (!coarse) {
			low0 = madd_avx2(low0, x01, w[2]);
			low1 = madd_avx2(low1, y01, w[2]);
		}
		if (some > 2 || g + 1 < groups) {
			__m256i x23 = _mm256_shuffle_epi8(x, p23), y23 = _mm256_shuffle_epi8(y, p23);
			high0 = madd_avx2(high0, x23, w[1]);
			high1 = madd_avx2(high1, y23, w[1]);
			if (!coarse) {
				low0 = madd_avx2(low0, x23, w[3]);
				low1 = madd_avx2(low1, y23, w[3]);
			}
		}
	}
	if (coarse)
		return (pixel256){coarse_whole(high0), coarse_whole(high1)};
	return (pixel256){whole_avx2(high0, low0), whole_avx2(high1, low1)};
}

// four_avx2 puts four pixels of two rows into their order, twelve bytes each, and four more.
AVX2 static inline void four_avx2(uint8_t *a, uint8_t *b, __m256i p0, __m256i p1, __m256i p2, __m256i p3) {
	const __m256i order =
		_mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
	__m256i z = _mm256_packus_epi16(_mm256_packs_epi32(p0, p1), _mm256_packs_epi32(p2, p3));
	z = _mm256_shuffle_epi8(z, order);
	_mm_storeu_si128((__m128i *)a, _mm256_castsi256_si128(z));
	_mm_storeu_si128((__m128i *)b, _mm256_extracti128_si256(z, 1));
}

AVX2 static inline __attribute__((always_inline)) void across_some(
	const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n, int groups, int some, int coarse) {
	const uint8_t *const row[4] = {src[0], src[1], src[2], src[3]}; // no store changes these
	uint8_t *const to[4] = {dst[0], dst[1], dst[2], dst[3]};
	const int32_t *from = t->from, *weight = t->weight;
	size_t stride = t->stride;
	for (int i = 0; i < n; i += 4) {
		pixel256 p[4];
		for (int j = 0; j < 4; j++) {
			int k = i + j < n ? i + j : n - 1;
			int all = groups ? groups : (from[2 * k + 1] + PX_GROUP - 1) / PX_GROUP;
			p[j] = pixel_avx2(row, (size_t)from[2 * k] * 3, weight + k * stride, all, some, coarse);
		}
		four_avx2(to[0] + 3 * i, to[1] + 3 * i, p[0].x, p[1].x, p[2].x, p[3].x);
		four_avx2(to[2] + 3 * i, to[3] + 3 * i, p[0].y, p[1].y, p[2].y, p[3].y);
	}
}

// Most images are enlarged or little reduced: two, four or eight source pixels are
// all there are, and loops of one length are fast.
AVX2 static inline __attribute__((always_inline)) void across_taken(
	const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n, int coarse) {
	if (t->taken <= 2)
		across_some(src, t, dst, n, 1, 2, coarse);
	else if (t->taken <= PX_GROUP)
		across_some(src, t, dst, n, 1, PX_GROUP, coarse);
	else if (t->taken <= PX_GROUP + 2)
		across_some(src, t, dst, n, 2, 2, coarse);
	else if (t->taken <= 2 * PX_GROUP)
		across_some(src, t, dst, n, 2, PX_GROUP, coarse);
	else
		across_some(src, t, dst, n, 0, PX_GROUP, coarse);
}

AVX2 static void across_avx2(const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n) {
	if (t->coarse)
		across_taken(src, t, dst, n, 1);
	else
		across_taken(src, t, dst, n, 0);
}

// Rows are taken in pairs: their bytes side by side, as 16 bits, times the two
// weights. Unpacking and packing work in lanes, so the order comes out right.
AVX2 static inline __attribute__((always_inline)) __m256i columns_avx2(
	const uint8_t *src, size_t stride, const int32_t *weight, int count, int coarse) {
	const __m256i zero = _mm256_setzero_si256(), round = _mm256_set1_epi32(half);
	__m256i h0 = coarse ? _mm256_set1_epi32(half >> PX_COARSE) : zero, h1 = h0, h2 = h0, h3 = h0;
	__m256i l0 = round, l1 = round, l2 = round, l3 = round;
	for (int j = 0; j < count; j += 2, src += 2 * stride) {
		const int32_t *w = weight + j / PX_GROUP * PX_GROUP + j % PX_GROUP / 2;
		__m256i a = _mm256_loadu_si256((const __m256i *)src);
		__m256i b = _mm256_loadu_si256((const __m256i *)(j + 1 < count ? src + stride : src));
		__m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
		__m256i c0 = _mm256_unpacklo_epi8(lo, zero), c1 = _mm256_unpackhi_epi8(lo, zero);
		__m256i c2 = _mm256_unpacklo_epi8(hi, zero), c3 = _mm256_unpackhi_epi8(hi, zero);
		h0 = madd_avx2(h0, c0, w[0]);
		h1 = madd_avx2(h1, c1, w[0]);
		h2 = madd_avx2(h2, c2, w[0]);
		h3 = madd_avx2(h3, c3, w[0]);
		if (coarse)
			continue;
		l0 = madd_avx2(l0, c0, w[2]);
		l1 = madd_avx2(l1, c1, w[2]);
		l2 = madd_avx2(l2, c2, w[2]);
		l3 = madd_avx2(l3, c3, w[2]);
	}
	if (coarse)
		return _mm256_packus_epi16(_mm256_packs_epi32(coarse_whole(h0), coarse_whole(h1)),
			_mm256_packs_epi32(coarse_whole(h2), coarse_whole(h3)));
	return _mm256_packus_epi16(_mm256_packs_epi32(whole_avx2(h0, l0), whole_avx2(h1, l1)),
		_mm256_packs_epi32(whole_avx2(h2, l2), whole_avx2(h3, l3)));
}

AVX2 static inline __attribute__((always_inline)) void down_some(const uint8_t *restrict src, size_t stride,
	const int32_t *restrict weight, int count, int coarse, uint8_t *restrict dst, int n) {
	int at = 0;
	for (; at + 32 <= n; at += 32)
		_mm256_storeu_si256((__m256i *)(dst + at), columns_avx2(src + at, stride, weight, count, coarse));
	if (at < n) { // never a byte more than the row has: the next may be another's
		uint8_t rest[32];
		_mm256_storeu_si256((__m256i *)rest, columns_avx2(src + at, stride, weight, count, coarse));
		memcpy(dst + at, rest, n - at);
	}
}

AVX2 static void down_avx2(const uint8_t *restrict src, size_t stride, const int32_t *restrict weight, int count,
	int coarse, uint8_t *restrict dst, int n) {
	if (!coarse)
		down_some(src, stride, weight, count, 0, dst, n);
	else if (count == 2)
		down_some(src, stride, weight, 2, 1, dst, n);
	else
		down_some(src, stride, weight, count, 1, dst, n);
}

// With AVX-512 and VNNI a weight is third * 2^16 + second * 2^8 + first, each of 8
// bits, and four pixels go at a time: {first of all four, second, third, nothing}. A coarse one has no first.
AVX512 static void pack_avx512(int32_t *weight, int groups, int coarse) {
	(void)coarse; // as others: its first is zero
	for (; groups > 0; groups--, weight += PX_GROUP) {
		__m128i w = _mm_loadu_si128((const __m128i *)weight);
		for (int part = 0; part < 3; part++) {
			__m128i low = _mm_srai_epi32(_mm_slli_epi32(w, 24), 24);
			weight[part] = _mm_cvtsi128_si32(_mm_cvtepi32_epi8(low));
			w = _mm_srai_epi32(_mm_sub_epi32(w, low), 8);
		}
		weight[3] = 0;
	}
}

AVX512 static inline __attribute__((always_inline)) __m512i dot(__m512i sum, __m512i pixels, int32_t weights) {
	return _mm512_dpbusd_epi32(sum, pixels, _mm512_set1_epi32(weights));
}

// whole512 is (third * 2^8 + second) * 2^8 + first, rounded, of groups of four
// pixels that are all at hand.
AVX512 static inline __attribute__((always_inline)) __m512i whole512(
	const __m512i *pixels, const int32_t *w, int groups, int coarse) {
	__m512i sum = _mm512_set1_epi32(half >> 16);
	for (int part = 2;; part--) {
		for (int g = 0; g < groups; g++)
			sum = dot(sum, pixels[g], w[g * PX_GROUP + part]);
		if (part == coarse)
			return _mm512_srai_epi32(sum, coarse ? coarse_point : point);
		sum = _mm512_slli_epi32(sum, 8);
	}
}

// sums512 are those of many groups, one after the other.
typedef struct sums512 {
	__m512i first, second, third;
} sums512;

AVX512 static inline __attribute__((always_inline)) sums512 none512(void) {
	return (sums512){_mm512_set1_epi32(half), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

AVX512 static inline __attribute__((always_inline)) void add512(
	sums512 *s, __m512i pixels, const int32_t w[PX_GROUP], int coarse) {
	if (!coarse)
		s->first = dot(s->first, pixels, w[0]);
	s->second = dot(s->second, pixels, w[1]);
	s->third = dot(s->third, pixels, w[2]);
}

AVX512 static inline __attribute__((always_inline)) __m512i sum512(sums512 s) {
	__m512i high = _mm512_add_epi32(_mm512_slli_epi32(s.third, 8), s.second);
	return _mm512_srai_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), s.first), point);
}

AVX512 static inline __attribute__((always_inline)) __m512i four_rows(const uint8_t *const src[4], size_t at) {
	const __m512i colours =
		_mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
	__m512i x = _mm512_castsi256_si512(two_rows(src[0] + at, src[1] + at));
	x = _mm512_inserti64x4(x, two_rows(src[2] + at, src[3] + at), 1);
	return _mm512_shuffle_epi8(x, colours);
}

// pixel_avx512 makes an output pixel of groups groups: as they come where that is more than two.
AVX512 static inline __attribute__((always_inline)) __m512i pixel_avx512(
	const uint8_t *const src[4], size_t at, const int32_t *w, int groups, int coarse) {
	enum { step = PX_GROUP * 3 };
	if (groups <= 2) {
		__m512i pixels[2];
		for (int g = 0; g < groups; g++)
			pixels[g] = four_rows(src, at + g * step);
		return whole512(pixels, w, groups, coarse);
	}
	sums512 sum = none512();
	for (int g = 0; g < groups; g++, at += step, w += PX_GROUP)
		add512(&sum, four_rows(src, at), w, coarse);
	return sum512(sum);
}

AVX512 static inline __attribute__((always_inline)) void across_some512(
	const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n, int groups, int coarse) {
	const __m512i order =
		_mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
	const uint8_t *const row[4] = {src[0], src[1], src[2], src[3]}; // no store changes these
	uint8_t *const to[4] = {dst[0], dst[1], dst[2], dst[3]};
	const int32_t *from = t->from, *weight = t->weight;
	size_t stride = t->stride;
	for (int i = 0; i < n; i += 4) {
		__m512i p[4];
		for (int j = 0; j < 4; j++) {
			int k = i + j < n ? i + j : n - 1;
			int all = groups ? groups : (from[2 * k + 1] + PX_GROUP - 1) / PX_GROUP;
			p[j] = pixel_avx512(row, (size_t)from[2 * k] * 3, weight + k * stride, all, coarse);
		}
		__m512i z = _mm512_packus_epi16(_mm512_packs_epi32(p[0], p[1]), _mm512_packs_epi32(p[2], p[3]));
		z = _mm512_shuffle_epi8(z, order);
		_mm_storeu_si128((__m128i *)(to[0] + 3 * i), _mm512_castsi512_si128(z));
		_mm_storeu_si128((__m128i *)(to[1] + 3 * i), _mm512_extracti32x4_epi32(z, 1));
		_mm_storeu_si128((__m128i *)(to[2] + 3 * i), _mm512_extracti32x4_epi32(z, 2));
		_mm_storeu_si128((__m128i *)(to[3] + 3 * i), _mm512_extracti32x4_epi32(z, 3));
	}
}

AVX512 static inline __attribute__((always_inline)) void across_taken512(
	const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n, int coarse) {
	if (t->taken <= PX_GROUP)
		across_some512(src, t, dst, n, 1, coarse);
	else if (t->taken <= 2 * PX_GROUP)
		across_some512(src, t, dst, n, 2, coarse);
	else
		across_some512(src, t, dst, n, 0, coarse);
}

AVX512 static void across_avx512(const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n) {
	if (t->coarse)
		across_taken512(src, t, dst, n, 1);
	else
		across_taken512(src, t, dst, n, 0);
}

// four_columns puts the bytes of four rows, of which count are there, side by side: 64 columns in four vectors.
AVX512 static inline __attribute__((always_inline)) void four_columns(
	const uint8_t *src, size_t stride, int count, __m512i out[4]) {
	__m512i a = _mm512_loadu_si512(src), b = _mm512_loadu_si512(src + (count > 1 ? stride : 0));
	__m512i c = _mm512_loadu_si512(src + (count > 2 ? 2 * stride : 0));
	__m512i d = _mm512_loadu_si512(src + (count > 3 ? 3 * stride : 0));
	__m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
	out[0] = _mm512_unpacklo_epi16(ab, cd);
	out[1] = _mm512_unpackhi_epi16(ab, cd);
	ab = _mm512_unpackhi_epi8(a, b), cd = _mm512_unpackhi_epi8(c, d);
	out[2] = _mm512_unpacklo_epi16(ab, cd);
	out[3] = _mm512_unpackhi_epi16(ab, cd);
}

AVX512 static inline __attribute__((always_inline)) void down_some512(const uint8_t *restrict src, size_t stride,
	const int32_t *restrict weight, int count, int coarse, uint8_t *restrict dst, int n) {
	for (int at = 0; at < n; at += 64) {
		__m512i c[4], z[4];
		if (count <= PX_GROUP) {
			four_columns(src + at, stride, count, c);
			for (int q = 0; q < 4; q++)
				z[q] = whole512(c + q, weight, 1, coarse);
		} else {
			sums512 s[4] = {none512(), none512(), none512(), none512()};
			for (int j = 0; j < count; j += PX_GROUP) {
				four_columns(src + at + (size_t)j * stride, stride, count - j, c);
				for (int q = 0; q < 4; q++)
					add512(s + q, c[q], weight + j, coarse);
			}
			for (int q = 0; q < 4; q++)
				z[q] = sum512(s[q]);
		}
		__mmask64 there = n - at < 64 ? (1ull << (n - at)) - 1 : ~0ull;
		_mm512_mask_storeu_epi8(dst + at, there,
			_mm512_packus_epi16(_mm512_packs_epi32(z[0], z[1]), _mm512_packs_epi32(z[2], z[3])));
	}
}

AVX512 static void down_avx512(const uint8_t *restrict src, size_t stride, const int32_t *restrict weight, int count,
	int coarse, uint8_t *restrict dst, int n) {
	if (coarse)
		down_some512(src, stride, weight, count, 1, dst, n);
	else
		down_some512(src, stride, weight, count, 0, dst, n);
}

static const px_kernels avx2 = {
	.name = "avx2",
	.pack = pack_avx2,
	.across = across_avx2,
	.down = down_avx2,
	.colour = colour_avx2,
	.sums = sums_avx2,
};
static const px_kernels avx512 = {
	.name = "avx512",
	.pack = pack_avx512,
	.across = across_avx512,
	.down = down_avx512,
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
			__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
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
