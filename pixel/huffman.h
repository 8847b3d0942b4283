// A Huffman decoder for baseline JPEG that stands in for libjpeg-turbo's, whose
// share of a training image's time was more than half.
#ifndef PIXEL_HUFFMAN_H
#define PIXEL_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

#include "codes.h"
#include "jpeg.h"

// PX_TAKES_OVER says that this libjpeg-turbo shows its inner interface, which the decoder needs.
#if defined(__has_include)
#if __has_include(<jpegint.h>)
#define PX_TAKES_OVER
#endif
#endif

// px_block is a block of an MCU.
typedef struct {
	const px_codes *dc, *ac;
	int component;
} px_block;

// px_point is an entry point into a scan: where an MCU begins in the data before the next
// marker, without stuffing, in bits from the point before, and what the DC coefficients of
// the components are told from there. In each row of MCUs the first has one, and others follow
// at equal distances of at most px_apart blocks.
typedef struct {
	uint16_t bits;
	int16_t dc[3];
} px_point;

enum { px_apart = 60 };

// px_pad is how many zero bytes stand behind the data: as many as an MCU can ask for, of blocks of 64
// coefficients, each of 32 bits at most, and a word.
enum { px_pad = D_MAX_BLOCKS_IN_MCU * 64 * 32 / 8 + 8 };

// px_bits is the state within a scan. The data lie in memory as a whole.
typedef struct {
	const uint8_t *at, *end; // the data, from the next marker on
	uint8_t *plain;          // the data before it, without stuffing, and px_pad
	size_t plain_cap;
	uint64_t bit, end_bit; // of it: the next, and how many there are
	int dc[MAX_COMPS_IN_SCAN];
	px_block block[D_MAX_BLOCKS_IN_MCU];
	unsigned blocks; // of an MCU
	unsigned column; // of the next MCU in its row
	unsigned mcu;    // and its number in the scan, where entry points are found or used
	unsigned to_restart;
	int next_restart;
	int at_end; // no marker follows

	// Entry points: of the scan, to begin from, or found while it is decoded.
	px_point *points;
	size_t points_n, points_cap;
	size_t points_at; // the one used last
	int points_mode;
	unsigned apart;      // MCUs from one to the next
	unsigned row_points; // of a row of MCUs
	uint64_t point;      // the bit of the one used or found last

	// Where points are used, the blocks of rows_n rows of MCUs from rows_at on, of each row rows_blocks
	// from the column rows_from on.
	int16_t *rows;
	size_t rows_cap;
	unsigned rows_n, rows_at, rows_from, rows_blocks;
	unsigned rows_wanted; // rows of MCUs in all, above the region and in it
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

// px_want_rows says that rows of pixels below the one last, of the size that is decoded at, are not
// wanted. Decoding goes by it where it may, and gives them all the same if it is asked for them.
void px_want_rows(j_decompress_ptr d, px_bits *bits, unsigned last);

// px_find_points goes on to the end of the scan. bits->points_n is 0 afterwards where the scan
// has restarts, is damaged, or cannot be told in px_points.
void px_find_points(j_decompress_ptr d, px_bits *bits);

#endif
