// Resizing RGB images with an antialiased separable filter, in Pillow's
// arithmetic, and the other loops over all pixels, each for several instruction
// sets.
#ifndef PIXEL_RESAMPLE_H
#define PIXEL_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

enum { PX_OK = 0, PX_MALFORMED, PX_TRUNCATED, PX_MEMORY };

// Weights are integers with PX_POINT bits behind the point. They stand in groups
// of PX_GROUP source pixels, those beyond the last zero.
// Coarse weights have PX_COARSE bits less, which are zero.
enum { PX_POINT = 22, PX_COARSE = 8, PX_GROUP = 4 };

// PX_BEHIND is how many bytes behind a line of pixels across may write.
enum { PX_BEHIND = 16 };

// px_taps says which source pixels an output pixel is made of: from[2i] is the
// first, from[2i+1] how many, and weight[i*stride...] their weights, packed as
// a set of kernels wants them.
typedef struct px_taps {
	int32_t *from;
	int32_t *weight;
	double *real; // scratch
	size_t from_cap, weight_cap, real_cap;
	int stride;
	int taken;  // the most source pixels of any output pixel
	int coarse; // weights are
} px_taps;

// px_scratch is memory kept from image to image.
typedef struct px_scratch {
	px_taps x, y;
	uint8_t *rows; // filtered across, to be filtered down
	size_t rows_cap;
} px_scratch;

typedef struct px_resize {
	int w, h;                // of src
	size_t stride;           // bytes from row to row of src
	int offset_x, offset_y;  // of src in the image that is resized
	double x, y;             // where output pixel (0, 0) begins in that image:
	int end_x, end_y;        // the columns and rows from there to before the end count
	double scale_x, scale_y; // pixels of the image an output pixel
	int out_x, out_y, out_w, out_h;
	int cubic;      // Keys' cubic instead of the triangle
	int flip;       // mirror the window left to right
	int coarse;     // weights of fewer bits, faster: a level more or less here and there
	int down_first; // filter columns before rows: between the two, pixels are rounded
} px_resize;

// px_resample writes the out_w x out_h window at (out_x, out_y) of an image
// resized by scale_x and scale_y, from src (rows of w*3 bytes, and 64 more behind the
// last that may be read but do not count). Where (x, y) is a whole pixel, the bytes
// are those of Pillow's resize of the box from there to the end, in that order, unless weights are coarse.
int px_resample(px_scratch *, const uint8_t *src, const px_resize *, uint8_t *dst);
void px_scratch_free(px_scratch *);

// px_kernels are the loops over pixels for one instruction set. Lines that are
// filtered may be read up to 64 bytes beyond their end.
typedef struct px_kernels {
	const char *name;
	// pack turns weights, in place, into what across and down read. Coarse weights may be packed
	// otherwise.
	void (*pack)(int32_t *weight, int groups, int coarse);
	// across filters four lines to n pixels each.
	void (*across)(const uint8_t *const src[4], const px_taps *t, uint8_t *const dst[4], int n);
	// down filters columns: n bytes from count rows.
	void (*down)(
		const uint8_t *src, size_t stride, const int32_t *weight, int count, int coarse, uint8_t *dst, int n);
	// colour maps every pixel by the 3x3 matrix m and adds shift, both with 14 bits after the point.
	void (*colour)(uint8_t *pix, int pixels, const int32_t m[9], int32_t shift);
	// sums adds up each channel.
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
