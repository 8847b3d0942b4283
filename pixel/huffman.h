// A Huffman decoder for baseline JPEG that stands in for libjpeg-turbo's, whose
// share of a training image's time is more than half.
#ifndef PIXEL_HUFFMAN_H
#define PIXEL_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

#include "jpeg.h"

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

// px_point is an entry point into a scan: where an MCU begins in the data before the next
// marker, without stuffing, in bits from the point before, and what the DC coefficients of
// the components are told from there. The first MCU has one, and one after each px_apart blocks or
// somewhat less.
typedef struct {
	uint16_t bits;
	int16_t dc[3];
} px_point;

enum { px_apart = 60 };

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

	// Entry points: of the scan, to begin from, or found while it is decoded.
	px_point *points;
	size_t points_n, points_cap;
	size_t points_at; // the one used last
	int points_mode;
	unsigned apart; // MCUs from one to the next
	uint64_t point;   // the bit of the one used or found last
	unsigned mcu;     // number in the scan of the MCU that is asked for next
	unsigned data_at; // and of the one that the data are at, where points are used
	px_codes dc_codes[NUM_HUFF_TBLS], ac_codes[NUM_HUFF_TBLS];
} px_bits;

// px_room_for_points makes room for n in bits->points; what was there is lost. 0 is no memory.
int px_room_for_points(px_bits *bits, size_t n);

// px_take_over puts the decoder in place of libjpeg-turbo's after
// jpeg_start_decompress, if it can decode the image: 8-bit Huffman-coded
// images of one scan. d->client_data
// becomes bits. With px_points_use it begins where bits->points says, which must be of the very
// same data; they are left alone where the image cannot have so many.
int px_take_over(j_decompress_ptr d, px_bits *bits, int points);

// px_find_points goes on to the end of the scan. bits->points_n is 0 afterwards where the scan
// has restarts, is damaged, or cannot be told in px_points.
void px_find_points(j_decompress_ptr d, px_bits *bits);

#endif
