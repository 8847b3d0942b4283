// JPEG by libjpeg-turbo: a region of an image as RGB, in memory that is kept
// from call to call.
#ifndef PIXEL_JPEG_H
#define PIXEL_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include "resample.h"

typedef struct px_jpeg px_jpeg;

px_jpeg *px_jpeg_new(void);
void px_jpeg_free(px_jpeg *);

// A region of an image wanted, in full-size pixels, decoded at 1/denominator
// size (1, 2, 4 or 8); filled in with what was decoded: it covers the region
// asked for, in pixels of the decoded size, at (x, y) of the whole image
// decoded at that size.
typedef struct px_region {
	int x, y, w, h;
	int denominator;
	int accept_truncated;
	int plain;     // only what libjpeg-turbo itself does
	size_t stride; // out: bytes from row to row
	uint8_t *rgb;  // out: the first pixel; owned by the px_jpeg, good until its next call
} px_region;

// Both give a code and put libjpeg-turbo's reason into message, cut to its room bytes.
int px_jpeg_decode(px_jpeg *, const uint8_t *data, size_t n, px_region *, char *message, size_t room);
int px_jpeg_encode(
	const uint8_t *rgb, int w, int h, int quality, uint8_t **out, unsigned long *n, char *message, size_t room);

#endif
