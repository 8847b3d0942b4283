// JPEG by libjpeg-turbo: a part of a picture as RGB, in memory that is kept
// from call to call.
#ifndef PIXEL_JPEG_H
#define PIXEL_JPEG_H

#include <stddef.h>
#include <stdint.h>

enum { PX_OK = 0, PX_MALFORMED, PX_TRUNCATED, PX_MEMORY };

typedef struct px_jpeg px_jpeg;

px_jpeg *px_jpeg_new(void);
void px_jpeg_free(px_jpeg *);

// A part of a picture wanted, in full-size pixels, decoded at 1/denominator
// size (1, 2, 4 or 8); filled in with what was decoded: it covers the part
// asked for, in pixels of the decoded size, at (x, y) of the whole picture
// decoded at that size.
typedef struct px_part {
	int x, y, w, h;
	int denominator;
	int accept_truncated;
	uint8_t *rgb; // out: w*h*3; owned by the px_jpeg, good until its next call
} px_part;

// Both give a code and put libjpeg-turbo's reason into message[256].
int px_jpeg_decode(px_jpeg *, const uint8_t *data, size_t n, px_part *, char *message);
int px_jpeg_encode(const uint8_t *rgb, int w, int h, int quality, uint8_t **out, unsigned long *n, char *message);

// px_resample writes the out_w x out_h window at (out_x, out_y) of a picture
// resized by x scale and y scale (source pixels an output pixel), from src
// (w*h*3), as an antialiased separable filter: 0 is bilinear, 1 bicubic
// (a = -0.5). offset_x and offset_y are where src lies in the picture that is
// resized, full_w and full_h that picture's size.
// tmp is scratch, grown as needed.
typedef struct px_scratch {
	uint8_t *rows;
	size_t rows_cap;
	int32_t *taps;
	size_t taps_cap;
} px_scratch;

typedef struct px_resize {
	int w, h;                // of src
	int offset_x, offset_y;  // of src in the whole
	int full_w, full_h;      // of the whole
	double scale_x, scale_y; // source pixels an output pixel
	int out_x, out_y, out_w, out_h;
	int cubic;
} px_resize;

int px_resample(px_scratch *, const uint8_t *src, const px_resize *, uint8_t *dst);
void px_scratch_free(px_scratch *);

#endif
