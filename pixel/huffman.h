// A Huffman decoder for baseline JPEG that stands in for libjpeg-turbo's, whose
// share of a training image's time is more than half.
#ifndef PIXEL_HUFFMAN_H
#define PIXEL_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

// Larger tables push the rest out of the nearest cache, and are slower.
enum { px_look = 9, px_skip = 11 };

// px_codes is one Huffman table: what the next px_look bits begin with, and
// what longer codes need (T.81, figure F.15).
typedef struct {
	uint32_t look[1 << px_look];
	int32_t most[18];  // largest code of each length, -1 for none
	int32_t first[17]; // huffval's index of a length's first code, less that code
	JHUFF_TBL from;    // what it was made of
	int made;

	// For blocks that are passed over, what the codes that the next px_skip bits
	// hold whole take together: see skip_entry. Only for AC tables.
	uint16_t skip[1 << px_skip];
} px_codes;

// px_bits is the state within a scan. The data lie in memory as a whole.
typedef struct {
	const uint8_t *at, *end; // the data, from the next marker on
	uint8_t *plain;          // the data before it, without stuffing
	size_t plain_cap;
	const uint8_t *plain_at, *plain_end;
	uint64_t buffer; // the next bits, from the top
	int count;       // how many, with those made up
	int made_up;     // zero bits put in because the data ended
	int dc[MAX_COMPS_IN_SCAN];
	unsigned column; // of the next MCU in its row
	unsigned to_restart;
	int next_restart;
	int at_end; // no marker follows
	px_codes dc_codes[NUM_HUFF_TBLS], ac_codes[NUM_HUFF_TBLS];
} px_bits;

// px_take_over puts the decoder in place of libjpeg-turbo's after
// jpeg_start_decompress, if it can decode the image: 8-bit Huffman-coded
// images of one scan. d->client_data
// becomes bits.
int px_take_over(j_decompress_ptr d, px_bits *bits);

#endif
