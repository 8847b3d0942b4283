#include "codes.h"

#include <string.h>

// entry is what a code of length bits for symbol stands for.
static uint32_t entry(int symbol, int length, int dc) {
	int run = dc ? 0 : symbol >> 4, s = symbol & 15;
	if (!dc && s == 0 && run != 15)
		run = px_past;
	return (uint32_t)length << 24 | (uint32_t)(63 - s) << 16 | (uint32_t)run << 8 | (uint32_t)(length + s);
}

// value_entry is an entry with the value that follows the code in a window of px_look bits.
static px_value value_entry(uint32_t e, unsigned window) {
	int bits = (int)(e & 255), s = 63 - (int)(e >> 16 & 255);
	if (e == 0 || bits > px_look)
		return (px_value){0};
	int value = (int)(window >> (px_look - bits)) & ((1 << s) - 1);
	if (s > 0 && value < 1 << (s - 1)) // T.81, F.2.2.1: a leading zero is a value below zero
		value -= (1 << s) - 1;
	return (px_value){.value = (int16_t)value, .run = (uint8_t)(e >> 8), .bits = (uint8_t)bits};
}

static uint16_t skip_entry(const px_codes *c, unsigned window) {
	int used = 0, passed = 0;
	while (used < px_skip) {
		// Zeros stand for the bits beyond the window; a code that needs them is not whole.
		unsigned at = window << used & ((1u << px_skip) - 1);
		uint32_t e = c->look[at >> (px_skip - px_look)];
		int length = (int)(e >> 24), run = (int)(e >> 8 & 255);
		if (e == 0 || used + length > px_skip)
			break;
		if (run == px_past) {
			used += length;
			return (uint16_t)(1 << px_skip_end | passed << px_skip_passed | used);
		}
		if (passed + run + 1 > 63)
			break;
		used += (int)(e & 255);
		passed += run + 1;
	}
	return (uint16_t)(used ? passed << px_skip_passed | used : px_none);
}

void px_make_codes(px_codes *c, const JHUFF_TBL *t, int dc) {
	if (c->made && memcmp(c->from.bits, t->bits, sizeof t->bits) == 0 &&
		memcmp(c->from.huffval, t->huffval, sizeof t->huffval) == 0)
		return;
	memset(c->look, 0, sizeof c->look);
	int code = 0, n = 0;
	for (int length = 1; length <= 16; length++, code <<= 1) {
		c->first[length] = n - code;
		for (int i = 0; i < t->bits[length]; i++, code++, n++) {
			if (length > px_look)
				continue;
			int spare = px_look - length;
			for (int rest = 0; rest < 1 << spare; rest++)
				c->look[code << spare | rest] = entry(t->huffval[n], length, dc);
		}
		c->most[length] = t->bits[length] ? code - 1 : -1;
	}
	if (!dc) {
		for (unsigned window = 0; window < 1 << px_look; window++)
			c->values[window] = value_entry(c->look[window], window);
		for (unsigned window = 0; window < 1 << px_skip; window++)
			c->skip[window] = skip_entry(c, window);
	}
	c->from = *t;
	c->made = 1;
	c->dc = dc;
}

uint32_t px_long_code(const px_codes *c, uint64_t bits) {
	int length = px_look + 1;
	while (length <= 16 && (int32_t)(bits >> (64 - length)) > c->most[length])
		length++;
	if (length > 16)
		return entry(0, 17, c->dc);
	return entry(c->from.huffval[((int)(bits >> (64 - length)) + c->first[length]) & 255], length, c->dc);
}
