#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
	*buf = calloc(n, 1); // what lies behind a row is read, times zero
	*cap = *buf ? n : 0;
	return *buf != NULL;
}

static int32_t whole_weight(double w, int coarse) {
	int spare = coarse ? PX_COARSE : 0;
	w *= 1 << (PX_POINT - spare);
	return (int32_t)(w < 0 ? w - 0.5 : w + 0.5) * (1 << spare);
}

// axis is one direction of a resize: n output pixels from out on, of the source
// pixels before end; output pixel 0 begins at origin, and pixels before that do not count.
typedef struct axis {
	int out, n;
	double origin;
	int end;
	double scale;
	int cubic, coarse;
} axis;

// make_taps lays out an axis. The filter widens with the scale, which is what
// antialiasing means. The order of operations is Pillow's, and decides bits; so
// does that a fraction of a pixel stands apart from the whole ones.
static int make_taps(px_taps *t, const axis *a, const px_kernels *k) {
	double wide = a->scale < 1 ? 1 : a->scale, narrow = 1 / wide;
	double support = (a->cubic ? 2.0 : 1.0) * wide;
	int most = (int)ceil(support) * 2 + 1;
	int whole = (int)floor(a->origin);
	t->stride = (most + PX_GROUP - 1) / PX_GROUP * PX_GROUP;
	t->taken = 0;
	if (!grow((void **)&t->from, &t->from_cap, (size_t)a->n * 2 * sizeof *t->from) ||
		!grow((void **)&t->weight, &t->weight_cap, (size_t)a->n * t->stride * sizeof *t->weight) ||
		!grow((void **)&t->real, &t->real_cap, (size_t)most * sizeof *t->real))
		return 0;
	memset(t->weight, 0, (size_t)a->n * t->stride * sizeof *t->weight);
	for (int i = 0; i < a->n; i++) {
		double centre = a->origin - whole + (a->out + i + 0.5) * a->scale, sum = 0;
		int from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
		if (from < 0)
			from = 0;
		if (to > a->end - whole)
			to = a->end - whole;
		int count = to - from;
		for (int j = 0; j < count; j++) {
			double x = (j + from - centre + 0.5) * narrow;
			t->real[j] = a->cubic ? keys(x) : triangle(x);
			sum += t->real[j];
		}
		int32_t *weight = t->weight + (size_t)i * t->stride;
		for (int j = 0; j < count; j++)
			weight[j] = whole_weight(t->real[j] / sum, a->coarse);
		t->from[2 * i] = from + whole;
		t->from[2 * i + 1] = count;
		if (count > t->taken)
			t->taken = count;
	}
	t->coarse = a->coarse;
	k->pack(t->weight, a->n * t->stride / PX_GROUP, a->coarse);
	return 1;
}

static void free_taps(px_taps *t) {
	free(t->from);
	free(t->weight);
	free(t->real);
}

static void swap(int32_t *a, int32_t *b, int n) {
	for (int i = 0; i < n; i++) {
		int32_t v = a[i];
		a[i] = b[i];
		b[i] = v;
	}
}

// reverse mirrors the output: its first pixel becomes the last.
static void reverse(px_taps *t, int n) {
	for (int i = 0, k = n - 1; i < k; i++, k--) {
		swap(t->from + 2 * i, t->from + 2 * k, 2);
		swap(t->weight + (size_t)i * t->stride, t->weight + (size_t)k * t->stride, t->stride);
	}
}

// within says whether the source pixels of n output pixels are among count from first on, and makes them
// count from there.
static int within(px_taps *t, int n, int first, int count) {
	const int32_t *last = t->from + 2 * (n - 1);
	if (t->from[0] < first || last[0] + last[1] > first + count)
		return 0;
	for (int i = 0; i < n; i++)
		t->from[2 * i] -= first;
	return 1;
}

// padded is the bytes of a line of n with room behind it for what across writes.
static size_t padded(size_t n) {
	return (n + PX_BEHIND + 63) / 64 * 64;
}

// across_first filters rows across, and of them down the output. Those that were
// filtered stay for as long as a later output row reads them: some dozen, in the
// nearest cache.
static int across_first(px_scratch *s, const px_kernels *k, const uint8_t *src, const px_resize *r, uint8_t *dst) {
	const px_taps *y = &s->y;
	int n = r->out_w * 3;
	size_t stride = padded(n);
	int room = 2 * y->taken + 24;
	if (!grow((void **)&s->rows, &s->rows_cap, room * stride + 64))
		return PX_MEMORY;
	int first = y->from[0], next = first; // rows first to next are there
	int end = y->from[2 * r->out_h - 2] + y->from[2 * r->out_h - 1];
	for (int i = 0; i < r->out_h; i++) {
		int from = y->from[2 * i], count = y->from[2 * i + 1];
		while (next < from + count) {
			if (next + 4 - first > room) {
				memmove(s->rows, s->rows + (from - first) * stride, (next - from) * stride);
				first = from;
			}
			const uint8_t *in[4];
			uint8_t *out[4];
			for (int j = 0; j < 4; j++) { // behind the last, the last again
				int row = next + j < end ? next + j : end - 1;
				in[j] = src + (size_t)row * r->stride;
				out[j] = s->rows + (row - first) * stride;
			}
			k->across(in, &s->x, out, r->out_w);
			next = next + 4 < end ? next + 4 : end;
		}
		k->down(s->rows + (from - first) * stride, stride, y->weight + (size_t)i * y->stride, count, y->coarse,
			dst + (size_t)i * n, n);
	}
	return PX_OK;
}

// down_first filters four output rows down, and those across.
static int down_first(px_scratch *s, const px_kernels *k, const uint8_t *src, const px_resize *r, uint8_t *dst) {
	const px_taps *y = &s->y;
	int n = r->out_w * 3, wide = r->w * 3;
	size_t stride = padded(wide), narrow = padded(n);
	if (!grow((void **)&s->rows, &s->rows_cap, 4 * (stride + narrow) + 64))
		return PX_MEMORY;
	for (int i = 0; i < r->out_h; i += 4) {
		int rows = r->out_h - i < 4 ? r->out_h - i : 4;
		const uint8_t *in[4];
		uint8_t *out[4];
		for (int j = 0; j < 4; j++) {
			int row = j < rows ? j : rows - 1;
			in[j] = s->rows + row * stride;
			out[j] = s->rows + 4 * stride + row * narrow;
		}
		for (int j = 0; j < rows; j++)
			k->down(src + (size_t)y->from[2 * (i + j)] * r->stride, r->stride,
				y->weight + (size_t)(i + j) * y->stride, y->from[2 * (i + j) + 1], y->coarse,
				s->rows + j * stride, wide);
		k->across(in, &s->x, out, r->out_w);
		for (int j = 0; j < rows; j++)
			memcpy(dst + (size_t)(i + j) * n, out[j], n);
	}
	return PX_OK;
}

int px_resample(px_scratch *s, const uint8_t *src, const px_resize *r, uint8_t *dst) {
	px_taps *x = &s->x, *y = &s->y;
	const px_kernels *k = px_best();
	const axis across = {r->out_x, r->out_w, r->x, r->end_x, r->scale_x, r->cubic, r->coarse};
	const axis down = {r->out_y, r->out_h, r->y, r->end_y, r->scale_y, r->cubic, r->coarse};
	if (!make_taps(x, &across, k) || !make_taps(y, &down, k))
		return PX_MEMORY;
	if (!within(x, r->out_w, r->offset_x, r->w) || !within(y, r->out_h, r->offset_y, r->h))
		return PX_MALFORMED; // the caller brought too little of the image
	if (r->flip)
		reverse(x, r->out_w);
	return (r->down_first ? down_first : across_first)(s, k, src, r, dst);
}

void px_scratch_free(px_scratch *s) {
	free_taps(&s->x);
	free_taps(&s->y);
	free(s->rows);
	memset(s, 0, sizeof *s);
}
