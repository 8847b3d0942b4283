// Decoding of blocks, inlined where it runs: the scan's own order (huffman.c), and rows side by
// side (points.c).
#ifndef PIXEL_LANE_H
#define PIXEL_LANE_H

#include <string.h>

#include "huffman.h"

#define INLINE static inline __attribute__((always_inline))

// px_order is zigzag order; a run past the end lands on the last coefficient, and the end
// of a block writes a zero there, which is still zero then. It is aligned so that an address tells
// whether the block has ended.
enum { px_order_aligned = 256 };
extern const uint8_t px_order[64 + 16 + px_past];

// px_lane is a place in the data and the block that is decoded there, kept in registers.
typedef struct {
	uint64_t window; // the next bits, from the top
	uint64_t bit;    // of the data, where the window begins
	const px_codes *ac;
	const uint8_t *next; // the place of the next coefficient, in px_order
	int16_t *out;        // the block
	int dc[MAX_COMPS_IN_SCAN];
} px_lane;

// fill makes 57 bits or more of the window good.
INLINE void fill(px_lane *l, const uint8_t *data) {
	uint64_t x;
	memcpy(&x, data + (l->bit >> 3), 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	l->window = x << (l->bit & 7);
}

INLINE void take(px_lane *l, unsigned bits) {
	l->window <<= bits & 63;
	l->bit += bits;
}

// code gives the entry (px_codes.look) of the next code, whatever its length.
INLINE uint32_t code(const px_lane *l, const px_codes *c) {
	uint32_t e = c->look[l->window >> (64 - px_look)];
	return __builtin_expect(e == 0, 0) ? px_long_code(c, l->window) : e;
}

// value takes the code of entry e and gives its value.
INLINE int value(px_lane *l, uint32_t e) {
	uint64_t t = l->window << (e >> 24 & 63);
	uint64_t below = ~(uint64_t)((int64_t)t >> 63); // T.81, F.2.2.1: a leading zero is a value below zero
	int v = (int)((t ^ below) >> 1 >> (e >> 16 & 63));
	take(l, e & 255);
	return (v ^ (int)below) - (int)below;
}

// first decodes the first coefficient, of which the data hold the change since
// the block of its component before.
INLINE int first(px_lane *l, const px_block *of, const uint8_t *data) {
	fill(l, data);
	int *dc = &l->dc[of->component];
	*dc = (int)((unsigned)*dc + (unsigned)value(l, code(l, of->dc)));
	return *dc;
}

// begin begins a block, which is zeroed before.
INLINE void begin(px_lane *l, const px_block *of, const uint8_t *data) {
	l->out[0] = (int16_t)first(l, of, data);
	l->ac = of->ac;
	l->next = px_order + 1;
}

// coefficient decodes one more. Between two fills there may be at_once of them.
enum { at_once = 57 / px_look };

INLINE void coefficient(px_lane *l, const uint8_t *data) {
	const px_value *v = &l->ac->values[l->window >> (64 - px_look)];
	if (__builtin_expect(v->bits != 0, 1)) {
		take(l, v->bits);
		l->next += v->run;
		l->out[*l->next++] = v->value;
		return;
	}
	fill(l, data);
	uint32_t e = code(l, l->ac);
	l->next += e >> 8 & 255;
	l->out[*l->next++] = (int16_t)value(l, e);
	fill(l, data);
}

// ended says whether the block has.
INLINE int ended(const px_lane *l) {
	return ((uintptr_t)l->next & (px_order_aligned - 64)) != 0;
}

// block decodes a block.
INLINE void block(px_lane *l, const px_block *of, const uint8_t *data) {
	begin(l, of, data);
	for (;;) {
		fill(l, data);
		for (int i = 0; i < at_once; i++) {
			coefficient(l, data);
			if (ended(l))
				return;
		}
	}
}

// begin_skip begins a block that is passed over: of its values only the first coefficient's matters, to the blocks
// after it. *k is the next coefficient.
INLINE void begin_skip(px_lane *l, int *k, const px_block *of, const uint8_t *data) {
	first(l, of, data);
	l->ac = of->ac;
	*k = 1;
}

// skip_some passes over some codes of the block, and says whether it has ended. A step takes at most 24 bits, so two
// can be taken after a fill.
INLINE int skip_some(px_lane *l, int *k, const uint8_t *data) {
	fill(l, data);
	for (int twice = 0; twice < 2; twice++) {
		unsigned s = l->ac->skip[1u << px_skip | l->window >> (64 - px_skip)];
		int passed = (int)(s >> px_skip_passed & 127), end = (int)(s >> px_skip_end);
		// The block ends within these codes, or there is a long one.
		if (__builtin_expect(*k + passed + end > 64, 0)) {
			fill(l, data);
			uint32_t e = code(l, l->ac);
			take(l, e & 255);
			*k += (int)(e >> 8 & 255) + 1;
			return *k > 63;
		}
		take(l, s & 63);
		*k += passed;
		if (end | (*k == 64))
			return 1;
	}
	return 0;
}

#endif
