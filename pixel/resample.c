#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Weights are 16-bit with this many bits after the point, so that two products
// fit one multiply-add of every SIMD set, and cubic weights (at most 1.2 in
// magnitude) fit. Those of an output pixel sum to exactly one.
enum { point = PX_POINT };

static double triangle(double x) {
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

// Keys' cubic convolution, a = -0.5.
static double keys(double x) {
	const double a = -0.5;
	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static int grow(void **buf, size_t *cap, size_t n) {
	if (n <= *cap)
		return 1;
	n += n / 2;
	free(*buf);
	*buf = malloc(n);
	*cap = *buf ? n : 0;
	return *buf != NULL;
}

// quantise turns real weights into integers that sum to one; what rounding
// left over goes to the largest.
static void quantise(const double *weight, double sum, int n, int16_t *out) {
	int rest = 1 << point, largest = 0;
	for (int j = 0; j < n; j++) {
		double w = weight[j] / sum * (1 << point);
		out[j] = (int16_t)floor(w + 0.5);
		rest -= out[j];
		if (weight[j] > weight[largest])
			largest = j;
	}
	out[largest] += (int16_t)rest;
}

// make_taps lays out n output pixels from out0 on, of the source pixels lo to hi,
// in which output pixel 0 begins at origin. The filter widens with the scale, which is what antialiasing means.
// Weights of one pixel stand in groups of group, each padded to 8.
static int make_taps(px_taps *t, int group, int out0, int n, double origin, int lo, int hi, double scale, int cubic) {
	double wide = scale < 1 ? 1 : scale;
	double support = (cubic ? 2.0 : 1.0) * wide;
	int most = (int)ceil(support) * 2 + 1;
	t->groups = (most + group - 1) / group;
	t->stride = t->groups * 8;
	t->taken = 0;
	if (!grow((void **)&t->from, &t->from_cap, (size_t)n * 2 * sizeof *t->from) ||
		!grow((void **)&t->weight, &t->weight_cap, (size_t)n * t->stride * sizeof *t->weight + 64) ||
		!grow((void **)&t->real, &t->real_cap, (size_t)most * (sizeof *t->real + sizeof(int16_t))))
		return 0;
	double *real = t->real;
	int16_t *whole = (int16_t *)(real + most);
	memset(t->weight, 0, (size_t)n * t->stride * sizeof *t->weight);
	for (int i = 0; i < n; i++) {
		double centre = origin + (out0 + i + 0.5) * scale, sum = 0;
		int from = (int)floor(centre - support + 0.5), to = (int)floor(centre + support + 0.5);
		if (from < lo)
			from = lo;
		if (to > hi)
			to = hi;
		for (int j = from; j < to; j++) {
			double x = (j + 0.5 - centre) / wide;
			real[j - from] = cubic ? keys(x) : triangle(x);
			sum += real[j - from];
		}
		int count = to - from;
		quantise(real, sum, count, whole);
		t->from[2 * i] = from;
		t->from[2 * i + 1] = count;
		if (count > t->taken)
			t->taken = count;
		for (int j = 0; j < count; j++)
			t->weight[(size_t)i * t->stride + j / group * 8 + j % group] = whole[j];
	}
	return 1;
}

static void free_taps(px_taps *t) {
	free(t->from);
	free(t->weight);
	free(t->real);
}

// reverse mirrors the output: its first pixel becomes the last.
static void reverse(px_taps *t, int n) {
	for (int i = 0, k = n - 1; i < k; i++, k--) {
		for (int c = 0; c < 2; c++) {
			int32_t v = t->from[2 * i + c];
			t->from[2 * i + c] = t->from[2 * k + c];
			t->from[2 * k + c] = v;
		}
		for (int c = 0; c < t->stride; c++) {
			int16_t v = t->weight[(size_t)i * t->stride + c];
			t->weight[(size_t)i * t->stride + c] = t->weight[(size_t)k * t->stride + c];
			t->weight[(size_t)k * t->stride + c] = v;
		}
	}
}

// The image is filtered down first, row by row of the output, into one line
// that stays in the nearest cache, and that line across into the output.
int px_resample(px_scratch *s, const uint8_t *src, const px_resize *r, uint8_t *dst) {
	px_taps *x = &s->x, *y = &s->y;
	if (!make_taps(x, PX_GROUP, r->out_x, r->out_w, r->x, r->lo_x, r->hi_x, r->scale_x, r->cubic) ||
		!make_taps(y, 8, r->out_y, r->out_h, r->y, r->lo_y, r->hi_y, r->scale_y, r->cubic))
		return PX_MEMORY;
	const int32_t *right = x->from + 2 * (r->out_w - 1), *last = y->from + 2 * (r->out_h - 1);
	int left = x->from[0], n = (right[0] + right[1] - left) * 3;
	if (y->from[0] < r->offset_y || last[0] + last[1] > r->offset_y + r->h || left < r->offset_x ||
		right[0] + right[1] > r->offset_x + r->w)
		return PX_MALFORMED; // the caller brought too little of the image
	if (!grow((void **)&s->line, &s->line_cap, (size_t)n + 64 + (size_t)x->groups * 16))
		return PX_MEMORY;
	if (r->flip)
		reverse(x, r->out_w);

	const px_kernels *k = px_best();
	size_t stride = r->stride;
	const uint8_t *base = src + (size_t)(left - r->offset_x) * 3;
	for (int i = 0; i < r->out_h; i++) {
		const int32_t *from = y->from + 2 * i;
		k->down(base + (size_t)(from[0] - r->offset_y) * stride, stride, y->weight + (size_t)i * y->stride,
			from[1], s->line, n);
		k->across(s->line, left, x, dst + (size_t)i * r->out_w * 3, r->out_w);
	}
	return PX_OK;
}

void px_scratch_free(px_scratch *s) {
	free_taps(&s->x);
	free_taps(&s->y);
	free(s->line);
	memset(s, 0, sizeof *s);
}
