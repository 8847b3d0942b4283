#include "huffman.h"

#include <string.h>

#if defined(__has_include)
#if __has_include(<jpegint.h>)
#define TAKE_OVER 1
#endif
#endif

#ifndef TAKE_OVER

// This libjpeg-turbo does not show its inner interface: its own decoder stays.
int px_take_over(j_decompress_ptr d, px_bits *bits) {
	(void)d, (void)bits;
	return 0;
}

#else

#define JPEG_INTERNALS
#include <jerror.h>
#include <jpegint.h>

// An entry of px_codes.look, from the low end: how many bits to drop, a byte of
// zeros to skip or of the symbol, and 16 bits of the value. With further in the
// first byte the value's bits did not fit and the second byte is the symbol; 0
// is a code that is longer.
enum { further = 0x80, block_end = 0xff };

// Zigzag order; a run past the end lands on the last.
static const uint8_t natural[64 + 16] = {
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63};

// extend gives the value of s bits (T.81, F.2.2.1).
static inline int extend(int v, int s) { return v < 1 << (s - 1) ? v - (1 << s) + 1 : v; }

// entry makes what is known when a code of length bits, for symbol, is followed
// by the rest of the px_look bits.
static uint32_t entry(int symbol, int length, int rest, int dc) {
	int run = dc ? 0 : symbol >> 4, s = symbol & 15;
	if (dc) s = symbol;
	if (s == 0) {
		if (dc) return length;
		return (uint32_t)(run == 15 ? 16 : block_end) << 8 | length;
	}
	if (length + s > px_look) return (uint32_t)symbol << 8 | further | length;
	int v = extend(rest >> (px_look - length - s), s);
	return (uint32_t)(uint16_t)v << 16 | (uint32_t)run << 8 | (length + s);
}

static void make_codes(px_codes *c, const JHUFF_TBL *t, int dc) {
	if (c->made && memcmp(c->from.bits, t->bits, sizeof t->bits) == 0 && memcmp(c->from.huffval, t->huffval, sizeof t->huffval) == 0) return;
	memset(c->look, 0, sizeof c->look);
	int code = 0, n = 0;
	for (int length = 1; length <= 16; length++, code <<= 1) {
		c->first[length] = n - code;
		for (int i = 0; i < t->bits[length]; i++, code++, n++) {
			if (length > px_look) continue;
			int spare = px_look - length;
			for (int rest = 0; rest < 1 << spare; rest++) c->look[code << spare | rest] = entry(t->huffval[n], length, rest, dc);
		}
		c->most[length] = t->bits[length] ? code - 1 : -1;
	}
	c->from = *t;
	c->made = 1;
}

// refill brings at least 32 bits into the buffer.
static inline void refill(px_bits *b) {
	if (b->end - b->at >= 8) {
		uint64_t x;
		memcpy(&x, b->at, 8);
		uint64_t not = ~x; // a byte of 0xff is a zero byte of it
		if (!((not - 0x0101010101010101u) & ~not & 0x8080808080808080u)) {
			x = __builtin_bswap64(x);
			int bytes = (64 - b->count) >> 3, n = bytes * 8;
			if (n < 64) x &= ~(~(uint64_t)0 >> n);
			b->buffer |= x >> b->count;
			b->at += bytes;
			b->count += n;
			return;
		}
	}
	while (b->count <= 56) {
		if (b->at < b->end && *b->at != 0xff) {
			b->buffer |= (uint64_t)*b->at++ << (56 - b->count);
		} else {
			// Any number of fill bytes and then a zero stand for a byte 0xff;
			// anything else is a marker, which stays where it is.
			const uint8_t *p = b->at;
			while (p < b->end && *p == 0xff) p++;
			if (p < b->end && *p == 0) {
				b->buffer |= (uint64_t)0xff << (56 - b->count);
				b->at = p + 1;
			} else {
				if (p >= b->end) b->at_end |= 1;
				b->made_up += 8;
			}
		}
		b->count += 8;
	}
}

static inline int take(px_bits *b, int n) {
	int v = (int)(b->buffer >> (64 - n));
	b->buffer <<= n;
	b->count -= n;
	return v;
}

// long_code finds a symbol whose code is longer than px_look; 0 for no code.
static int long_code(px_bits *b, const px_codes *c) {
	int length = px_look + 1;
	while (length <= 16 && (int32_t)(b->buffer >> (64 - length)) > c->most[length]) length++;
	if (length > 16) {
		take(b, 17); // as libjpeg-turbo
		return 0;
	}
	return c->from.huffval[(take(b, length) + c->first[length]) & 255];
}

// block decodes one block; out is zeroed before, or null to skip it.
static inline __attribute__((always_inline)) void block(px_bits *b, const px_codes *dc, const px_codes *ac, int *last, JCOEF *out) {
	if (b->count < 32) refill(b);
	uint32_t e = dc->look[b->buffer >> (64 - px_look)];
	int diff;
	if (e && !(e & further)) {
		take(b, e & 31);
		diff = (int16_t)(e >> 16);
	} else {
		int s = e ? (int)(e >> 8 & 255) : long_code(b, dc);
		if (e) take(b, e & 31);
		diff = (s &= 15) ? extend(take(b, s), s) : 0;
	}
	*last = (int)((unsigned)*last + (unsigned)diff);
	if (out) out[0] = (JCOEF)*last;
	for (int k = 1; k < 64; k++) {
		if (b->count < 32) refill(b);
		e = ac->look[b->buffer >> (64 - px_look)];
		int v, run;
		if (e && !(e & further)) {
			b->buffer <<= e & 31;
			b->count -= e & 31;
			run = e >> 8 & 255;
			v = (int16_t)(e >> 16);
			if (!v) {
				if (run == block_end) return;
				k += 15;
				continue;
			}
		} else {
			int symbol = e ? (int)(e >> 8 & 255) : long_code(b, ac), s = symbol & 15;
			if (e) take(b, e & 31);
			run = symbol >> 4;
			if (!s) {
				if (run != 15) return;
				k += 15;
				continue;
			}
			v = extend(take(b, s), s);
		}
		k += run;
		if (out) out[natural[k]] = (JCOEF)v;
	}
}

// next_marker goes to the next marker, which it gives, and leaves at behind it.
static int next_marker(px_bits *b) {
	for (;;) {
		while (b->at < b->end && *b->at != 0xff) b->at++;
		while (b->at < b->end && *b->at == 0xff) b->at++;
		if (b->at >= b->end) return JPEG_EOI;
		if (*b->at++) return b->at[-1];
	}
}

// restart begins the next interval. Where its marker is not the one that is due
// it does as libjpeg-turbo does: goes on to a later one, stays before one of
// the future, or takes it for the right one.
static void restart(j_decompress_ptr d, px_bits *b) {
	int due = b->next_restart;
	b->buffer = 0;
	b->count = b->made_up = b->at_end = 0;
	memset(b->dc, 0, sizeof b->dc);
	b->to_restart = d->restart_interval;
	b->next_restart = (due + 1) & 7;
	for (;;) {
		int m = next_marker(b), off = (m - JPEG_RST0 - due) & 7;
		int is_restart = m >= JPEG_RST0 && m <= JPEG_RST0 + 7;
		if (m < 0xc0 || (is_restart && (off == 7 || off == 6))) {
			if (b->at >= b->end) return;
			continue; // no marker, or one of the past
		}
		if (!is_restart || off == 1 || off == 2) {
			// The interval is missing: made-up zeros, or still nothing.
			if (!(b->at >= b->end && m == JPEG_EOI)) b->at -= 2;
			return;
		}
		d->entropy->insufficient_data = FALSE;
		return;
	}
}

METHODDEF(boolean) decode(j_decompress_ptr d, JBLOCKROW *mcu) {
	px_bits *b = d->client_data;
	if (d->restart_interval && b->to_restart == 0) restart(d, b);
	if (!d->entropy->insufficient_data) {
		for (int i = 0; i < d->blocks_in_MCU; i++) {
			int c = d->MCU_membership[i];
			const px_codes *dc = &b->dc_codes[d->cur_comp_info[c]->dc_tbl_no], *ac = &b->ac_codes[d->cur_comp_info[c]->ac_tbl_no];
			if (mcu) block(b, dc, ac, &b->dc[c], mcu[i][0]);
			else block(b, dc, ac, &b->dc[c], NULL);
		}
		if (b->count < b->made_up) { // bits were used that are not there
			d->entropy->insufficient_data = TRUE;
			if (b->at_end) WARNMS(d, JWRN_JPEG_EOF);
			else WARNMS(d, JWRN_HIT_MARKER);
		}
	}
	if (d->restart_interval) b->to_restart--;
	return TRUE;
}

int px_take_over(j_decompress_ptr d, px_bits *b) {
	if (d->progressive_mode || d->arith_code || d->data_precision != 8 || d->inputctl->has_multiple_scans) return 0;
	for (int i = 0; i < d->comps_in_scan; i++) {
		const jpeg_component_info *c = d->cur_comp_info[i];
		// libjpeg-turbo has checked the tables when the scan began.
		make_codes(&b->dc_codes[c->dc_tbl_no], d->dc_huff_tbl_ptrs[c->dc_tbl_no], 1);
		make_codes(&b->ac_codes[c->ac_tbl_no], d->ac_huff_tbl_ptrs[c->ac_tbl_no], 0);
	}
	b->at = d->src->next_input_byte;
	b->end = b->at + d->src->bytes_in_buffer;
	b->buffer = 0;
	b->count = b->made_up = b->at_end = b->next_restart = 0;
	b->to_restart = d->restart_interval;
	memset(b->dc, 0, sizeof b->dc);
	d->client_data = b;
	d->entropy->decode_mcu = decode;
	return 1;
}

#endif
