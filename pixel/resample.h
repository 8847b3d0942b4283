// Resizing RGB images with an antialiased separable filter, and the other
// loops over all pixels, each for several instruction sets.
#ifndef PIXEL_RESAMPLE_H
#define PIXEL_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

enum { PX_OK = 0, PX_MALFORMED, PX_TRUNCATED, PX_MEMORY };

enum { PX_POINT = 14, PX_GROUP = 5 };

// px_taps says which source pixels an output pixel is made of: from[2i] is the
// first, from[2i+1] how many, weight[i*stride...] their weights.
typedef struct px_taps {
	int32_t *from;
	int16_t *weight;
	double *real; // scratch
	size_t from_cap, weight_cap, real_cap;
	int groups, stride;
	int taken; // the most source pixels of any output pixel
} px_taps;

// px_scratch is memory kept from image to image.
typedef struct px_scratch {
	px_taps x, y;
	uint8_t *line;
	size_t line_cap;
} px_scratch;

typedef struct px_resize {
	int w, h;                // of src
	size_t stride;           // bytes from row to row of src
	int offset_x, offset_y;  // of src in the image that is resized
	double x, y;             // where output pixel (0, 0) begins in that image
	int lo_x, hi_x;          // the columns and rows of the image that count:
	int lo_y, hi_y;          // from lo on and before hi
	double scale_x, scale_y; // pixels of the image an output pixel
	int out_x, out_y, out_w, out_h;
	int cubic; // Keys' cubic instead of the triangle
	int flip;  // mirror the window left to right
} px_resize;

// px_resample writes the out_w x out_h window at (out_x, out_y) of an image
// resized by scale_x and scale_y, from src (rows of w*3 bytes, and 64 more behind the
// last that may be read but do not count).
int px_resample(px_scratch *, const uint8_t *src, const px_resize *, uint8_t *dst);
void px_scratch_free(px_scratch *);

// px_colour maps every pixel by the 3x3 matrix m and adds shift, both with 14 bits after
// the point.
// px_sums adds up each channel.
typedef struct px_kernels {
	const char *name;
	// down filters columns: dst[n] from count rows; n may be rounded up to 64.
	void (*down)(const uint8_t *src, size_t stride, const int16_t *weight, int count, uint8_t *dst, int n);
	// across filters one line whose first pixel is pixel offset of the image.
	void (*across)(const uint8_t *src, int offset, const px_taps *t, uint8_t *dst, int n);
	void (*colour)(uint8_t *pix, int pixels, const int32_t m[9], int32_t shift);
	void (*sums)(const uint8_t *pix, int pixels, int64_t sum[3]);
} px_kernels;

// px_best is the fastest set of kernels that this processor runs. All sets
// give the same bytes.
const px_kernels *px_best(void);
// px_nth gives set i, or NULL after the last that this processor runs; px_use
// makes it the best, for tests.
const px_kernels *px_nth(int i);
void px_use(const px_kernels *);

#endif
