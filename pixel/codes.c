#include "codes.h"

#include <string.h>

// entry is what a code of length bits for symbol stands for.
static uint32_t entry(int symbol, int length, int dc) {
	int run = dc ? 0 : symbol >> 4, s = symbol & 15;
	if (!dc && s == 0 && run != 15)
		run = px_past;
	return (uint32_t)length << 24 | (uint32_t)(63 - s) << 16 | (uint32_t)run << 8 | (uint32_t)(length + s);
}

// with_value is an entry with the value that follows the code in a window of px_look bits.
static px_value with_value(uint32_t e, unsigned window) {
	int bits = (int)(e & 255), s = 63 - (int)(e >> 16 & 255);
	int value = (int)(window >> (px_look - bits)) & ((1 << s) - 1);
	if (s > 0 && value < 1 << (s - 1)) // T.81, F.2.2.1: a leading zero is a value below zero
		value -= (1 << s) - 1;
	return (px_value){.value = (int16_t)value, .run = (uint8_t)(e >> 8), .bits = (uint8_t)bits};
}

// make_skips fills skip for windows of 0, 1 and so on up to px_skip bits: what a window holds is
// its first code, and what the shorter window behind that holds.
static void make_skips(px_codes *c) {
	for (unsigned i = 1; i < 2u << px_skip; i++)
		c->skip[i] = px_none;
	for (int n = 1; n <= px_skip; n++) {
		for (unsigned window = 0; window < 1u << n; window++) {
			uint32_t e = c->look[window << (px_look - n)];
			int length = (int)(e >> 24), run = (int)(e >> 8 & 255), used = (int)(e & 255), passed = run + 1;
			// Zeros stand for the bits beyond the window; a code that needs them is not whole.
			if (e == 0 || length > n)
				continue;
			uint16_t *skip = &c->skip[1u << n | window];
			if (run == px_past) {
				*skip = (uint16_t)(1 << px_skip_end | used);
				continue;
			}
			*skip = (uint16_t)(passed << px_skip_passed | used);
			if (used >= n)
				continue;
			uint16_t rest = c->skip[1u << (n - used) | (window & ((1u << (n - used)) - 1))];
			if (passed + (rest >> px_skip_passed & 127) <= 63)
				*skip = (uint16_t)(*skip + rest);
		}
	}
}

void px_make_codes(px_codes *c, const JHUFF_TBL *t, int dc) {
	if (c->made && memcmp(c->from.bits, t->bits, sizeof t->bits) == 0 &&
		memcmp(c->from.huffval, t->huffval, sizeof t->huffval) == 0)
		return;
	memset(c->look, 0, sizeof c->look);
	if (!dc)
		memset(c->values, 0, sizeof c->values);
	int code = 0, n = 0;
	for (int length = 1; length <= 16; length++, code <<= 1) {
		c->first[length] = n - code;
		for (int i = 0; i < t->bits[length]; i++, code++, n++) {
			if (length > px_look)
				continue;
			uint32_t e = entry(t->huffval[n], length, dc);
			unsigned from = (unsigned)code << (px_look - length),
				 to = (unsigned)(code + 1) << (px_look - length);
			for (unsigned window = from; window < to; window++)
				c->look[window] = e;
			if (!dc && (e & 255) <= px_look)
				for (unsigned window = from; window < to; window++)
					c->values[window] = with_value(e, window);
		}
		c->most[length] = t->bits[length] ? code - 1 : -1;
	}
	if (!dc)
		make_skips(c);
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
