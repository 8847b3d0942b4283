// JPEG by libjpeg-turbo: a region of an image as RGB, in memory that is kept
// from call to call.
#ifndef PIXEL_JPEG_H
#define PIXEL_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include "resample.h"

typedef struct px_jpeg px_jpeg;

// Entry points into a scan's data make a crop cost what lies in it: those that one decoding of
// an image found can be used by the next. Of images that can have none, none are found.
enum { px_points_none, px_points_find, px_points_use };

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
	int points;    // what is done with entry points, one of px_points_none, _find, _use
	size_t stride; // out: bytes from row to row
	uint8_t *rgb;  // out: the first pixel; owned by the px_jpeg, good until its next call
} px_region;

// px_jpeg_set_points says what entry points the next decoding uses, n bytes that
// px_jpeg_points gave of the very same data. 0 is no memory.
int px_jpeg_set_points(px_jpeg *, const void *points, size_t n);

// px_jpeg_points gives what the last decoding found, good until the next call.
const void *px_jpeg_points(const px_jpeg *, size_t *n);

// Both give a code and put libjpeg-turbo's reason into message, cut to its room bytes.
int px_jpeg_decode(px_jpeg *, const uint8_t *data, size_t n, px_region *, char *message, size_t room);
int px_jpeg_encode(
	const uint8_t *rgb, int w, int h, int quality, uint8_t **out, unsigned long *n, char *message, size_t room);

#endif
