// WebP by libwebp: a still image, or the first frame of an animation.
#ifndef PIXEL_WEBP_H
#define PIXEL_WEBP_H

#include <stddef.h>
#include <stdint.h>

typedef struct px_webp_info {
	int width, height;
	int alpha, animated;
} px_webp_info;

// Codes are jpeg.h's.
int px_webp_probe(const uint8_t *data, size_t n, px_webp_info *);
// Decodes into rows of width * (alpha or animated ? 4 : 3) bytes.
int px_webp_decode(const uint8_t *data, size_t n, const px_webp_info *, uint8_t *out, size_t size);

#endif
