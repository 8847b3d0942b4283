// Tables of baseline JPEG's Huffman codes, made for speed.
#ifndef PIXEL_CODES_H
#define PIXEL_CODES_H

#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

// Larger tables push the rest out of the nearest cache, and are slower.
enum { px_look = 10, px_skip = 9 };

// px_value is a code with its value, both within px_look bits.
typedef struct {
	int16_t value;
	uint8_t run;  // zeros before it
	uint8_t bits; // of code and value together; 0: they are longer
} px_value;

// px_codes is one Huffman table: what the next px_look bits begin with, and
// what longer codes need (T.81, figure F.15).
typedef struct {
	px_value values[1 << px_look]; // only of AC tables
	// A code of at most px_look bits with a value of any length, a byte each from the low end:
	// bits of code and value together, zeros to skip before the value, 63 less the bits of the
	// value, bits of the code. 0 is a longer code.
	uint32_t look[1 << px_look];
	int32_t most[18];  // largest code of each length, -1 for none
	int32_t first[17]; // huffval's index of a length's first code, less that code
	JHUFF_TBL from;    // what it was made of
	int made, dc;

	// For blocks that are passed over, what the codes that the next px_skip bits
	// hold whole take together, at 1 << px_skip and those bits; before that, of fewer bits. Only of AC
	// tables.
	uint16_t skip[2 << px_skip];
} px_codes;

// px_past is what the end of a block skips: past all coefficients.
enum { px_past = 64 };

// What px_codes.skip holds, from the low end: 6 bits for the bits of codes and
// values together, 7 for the coefficients passed, 1 for the end of the block.
// The last value's bits may lie beyond the window. px_none says that not even one
// code is whole: it passes more coefficients than a block has.
enum { px_skip_passed = 6, px_skip_end = 13, px_none = 127 << px_skip_passed };

// px_make_codes makes the tables, where they are not of t already.
void px_make_codes(px_codes *, const JHUFF_TBL *t, int dc);

// px_long_code gives what px_codes.look has none of, by the next 64 bits. For no code at all
// it is a zero symbol after 17 bits, as in libjpeg-turbo.
uint32_t px_long_code(const px_codes *, uint64_t bits);

#endif
