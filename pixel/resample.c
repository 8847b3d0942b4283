#include "jpeg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Hot loops are compiled for several processors and the best is chosen when
// the program starts. On arm64 the base instruction set has NEON.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HOT __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3")))
#else
#define HOT
#endif

// Weights are fixed-point with this many bits after the point: eight bits of
// sample and two of headroom for weights that sum above one in magnitude leave
// the rest of 32.
enum { point = 32 - 8 - 2 };

static double triangle(double x) {
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

// Keys' cubic convolution, a = -0.5.
static double keys(double x) {
	const double a = -0.5;
	x = fabs(x);
	if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

// An output pixel's taps: first source pixel, count, then weights.
typedef struct {
	int32_t *at; // count * (2 + most)
	int most;
} taps;

// make_taps lays out n output pixels from out0 on, of a line of full source
// pixels. The filter widens with the scale, which is what antialiasing means.
static int make_taps(px_scratch *s, size_t used, taps *t, int out0, int n, int full, double scale, int cubic) {
	double wide = scale < 1 ? 1 : scale;
	double support = (cubic ? 2.0 : 1.0) * wide;
	t->most = (int)ceil(support) * 2 + 1;
	size_t need = used + (size_t)n * (2 + t->most);
	if (need > s->taps_cap) {
		int32_t *more = realloc(s->taps, need * 2 * sizeof *more);
		if (!more) return 0;
		s->taps = more;
		s->taps_cap = need * 2;
	}
	double weight[t->most];
	for (int i = 0; i < n; i++) {
		int32_t *out = s->taps + used + (size_t)i * (2 + t->most);
		double centre = (out0 + i + 0.5) * scale, sum = 0;
		int from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
		if (from < 0) from = 0;
		if (to > full) to = full;
		for (int j = from; j < to; j++) {
			double x = (j + 0.5 - centre) / wide;
			weight[j - from] = cubic ? keys(x) : triangle(x);
			sum += weight[j - from];
		}
		out[0] = from;
		out[1] = to - from;
		for (int j = 0; j < to - from; j++) out[2 + j] = (int32_t)floor(weight[j] / sum * (1 << point) + 0.5);
	}
	return 1;
}

static inline uint8_t clip(int32_t v) {
	v >>= point;
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

// across filters one row: dst[n*3] from src, whose first pixel is pixel offset
// of the line.
HOT
static void across(const uint8_t *restrict src, int offset, const int32_t *restrict t, int most, uint8_t *restrict dst, int n) {
	for (int i = 0; i < n; i++, t += 2 + most, dst += 3) {
		const uint8_t *p = src + (size_t)(t[0] - offset) * 3;
		int32_t r = 1 << (point - 1), g = r, b = r;
		for (int j = 0; j < t[1]; j++, p += 3) {
			int32_t w = t[2 + j];
			r += w * p[0];
			g += w * p[1];
			b += w * p[2];
		}
		dst[0] = clip(r), dst[1] = clip(g), dst[2] = clip(b);
	}
}

// down filters columns: dst[n] from the rows of one output row.
HOT
static void down(const uint8_t *restrict rows, size_t stride, const int32_t *restrict weight, int count, uint8_t *restrict dst, int n) {
	enum { chunk = 256 };
	int32_t sum[chunk];
	for (int at = 0; at < n; at += chunk) {
		int m = n - at < chunk ? n - at : chunk;
		for (int i = 0; i < m; i++) sum[i] = 1 << (point - 1);
		for (int j = 0; j < count; j++) {
			const uint8_t *row = rows + j * stride + at;
			int32_t w = weight[j];
			for (int i = 0; i < m; i++) sum[i] += w * row[i];
		}
		for (int i = 0; i < m; i++) dst[at + i] = clip(sum[i]);
	}
}

int px_resample(px_scratch *s, const uint8_t *src, const px_resize *r, uint8_t *dst) {
	taps x, y;
	size_t x_at = 0;
	if (!make_taps(s, 0, &x, r->out_x, r->out_w, r->full_w, r->scale_x, r->cubic)) return PX_MEMORY;
	size_t y_at = (size_t)r->out_w * (2 + x.most);
	if (!make_taps(s, y_at, &y, r->out_y, r->out_h, r->full_h, r->scale_y, r->cubic)) return PX_MEMORY;
	const int32_t *tx = s->taps + x_at, *ty = s->taps + y_at;

	const int32_t *last = ty + (size_t)(r->out_h - 1) * (2 + y.most);
	int row0 = ty[0], row1 = last[0] + last[1];
	const int32_t *right = tx + (size_t)(r->out_w - 1) * (2 + x.most);
	if (row0 < r->offset_y || row1 > r->offset_y + r->h || tx[0] < r->offset_x || right[0] + right[1] > r->offset_x + r->w)
		return PX_MALFORMED; // the caller brought too little of the picture
	size_t stride = (size_t)r->out_w * 3, need = stride * (row1 - row0) + 64;
	if (need > s->rows_cap) {
		free(s->rows);
		s->rows = malloc(need);
		s->rows_cap = s->rows ? need : 0;
		if (!s->rows) return PX_MEMORY;
	}
	for (int j = row0; j < row1; j++)
		across(src + (size_t)(j - r->offset_y) * r->w * 3, r->offset_x, tx, x.most, s->rows + (j - row0) * stride, r->out_w);
	for (int i = 0; i < r->out_h; i++, ty += 2 + y.most)
		down(s->rows + (ty[0] - row0) * stride, stride, ty + 2, ty[1], dst + i * stride, (int)stride);
	return PX_OK;
}

void px_scratch_free(px_scratch *s) {
	free(s->rows);
	free(s->taps);
	memset(s, 0, sizeof *s);
}
