#include "huffman.h"

#include <stdlib.h>
#include <string.h>

int px_room_for_points(px_bits *b, size_t n) {
	if (n <= b->points_cap)
		return 1;
	free(b->points);
	b->points = malloc(n * sizeof *b->points);
	b->points_cap = b->points ? n : 0;
	return b->points != NULL;
}

#if defined(__has_include)
#if __has_include(<jpegint.h>)
#define TAKE_OVER 1
#endif
#endif

#ifndef TAKE_OVER

// This libjpeg-turbo does not show its inner interface: its own decoder stays.
int px_take_over(j_decompress_ptr d, px_bits *bits, int points) {
	(void)d;
	(void)bits;
	(void)points;
	return 0;
}

void px_find_points(j_decompress_ptr d, px_bits *bits) {
	(void)d;
	(void)bits;
}

#else

#define JPEG_INTERNALS
#include <jerror.h>
#include <jpegint.h>

// An entry of px_codes.look, a byte each from the low end: bits of code and
// value together, zeros to skip before the value, bits of the value, bits of the
// code. 0 is a code longer than px_look. The end of a block skips past it.
enum { past = 64 };

// Zigzag order; a run past the end lands on the last coefficient, and the end
// of a block writes a zero there, which is still zero then.
static const uint8_t natural[64 + 16 + past] = {0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33,
	40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, [63 ... 64 + 16 + past - 1] = 63};

// entry is what a code of length bits for symbol stands for.
static inline uint32_t entry(int symbol, int length, int dc) {
	int run = dc ? 0 : symbol >> 4, s = symbol & 15;
	if (!dc && s == 0 && run != 15)
		run = past;
	return (uint32_t)length << 24 | (uint32_t)s << 16 | (uint32_t)run << 8 | (uint32_t)(length + s);
}

// An entry of px_codes.skip, from the low end: 6 bits for the bits of codes and
// values together, 7 for the coefficients passed, 1 for the end of the block.
// The last value's bits may lie beyond the window. none says that not even one
// code is whole: it passes more coefficients than a block has.
enum { skip_passed = 6, skip_end = 13, none = 127 << skip_passed };

static uint16_t skip_entry(const px_codes *c, unsigned window) {
	int used = 0, passed = 0;
	while (used < px_skip) {
		// Zeros stand for the bits beyond the window; a code that needs them is not whole.
		unsigned at = window << used & ((1u << px_skip) - 1);
		uint32_t e =
			px_skip > px_look ? c->look[at >> (px_skip - px_look)] : c->look[at << (px_look - px_skip)];
		int length = (int)(e >> 24), run = (int)(e >> 8 & 255);
		if (e == 0 || used + length > px_skip)
			break;
		if (run == past) {
			used += length;
			return (uint16_t)(1 << skip_end | passed << skip_passed | used);
		}
		if (passed + run + 1 > 63)
			break;
		used += (int)(e & 255);
		passed += run + 1;
	}
	return (uint16_t)(used ? passed << skip_passed | used : none);
}

static void make_codes(px_codes *c, const JHUFF_TBL *t, int dc) {
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
	if (!dc)
		for (unsigned window = 0; window < 1 << px_skip; window++)
			c->skip[window] = skip_entry(c, window);
	c->from = *t;
	c->made = 1;
}

// reader is the state while an MCU is decoded, kept in registers.
typedef struct {
	uint64_t buffer;
	int count, made_up;
	const uint8_t *at, *end;
} reader;

#define INLINE static inline __attribute__((always_inline))

// refill brings at least 56 bits into the buffer. Below its count of bits the
// buffer may hold bits of the next bytes, which come again: away from the end of
// the data all its 64 bits are good. Near the end, where they are not, it gives 1.
INLINE int refill(reader *r) {
	if (__builtin_expect(r->end - r->at >= 8, 1)) {
		uint64_t x;
		memcpy(&x, r->at, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		x = __builtin_bswap64(x);
#endif
		r->buffer |= x >> r->count;
		r->at += (63 - r->count) >> 3;
		r->count |= 56;
		return 0;
	}
	while (r->count <= 56) {
		if (r->at < r->end)
			r->buffer |= (uint64_t)*r->at++ << (56 - r->count);
		else
			r->made_up += 8;
		r->count += 8;
	}
	return 1;
}

// long_code gives the entry of a code longer than px_look. For no code at all
// it is a zero symbol after 17 bits, as in libjpeg-turbo.
static uint32_t long_code(uint64_t buffer, const px_codes *c, int dc) {
	int length = px_look + 1;
	while (length <= 16 && (int32_t)(buffer >> (64 - length)) > c->most[length])
		length++;
	if (length > 16)
		return entry(0, 17, dc);
	return entry(c->from.huffval[((int)(buffer >> (64 - length)) + c->first[length]) & 255], length, dc);
}

// peek gives the entry of the code that comes next, 0 for a long one.
INLINE uint32_t peek(const reader *r, const px_codes *c) {
	return c->look[r->buffer >> (64 - px_look)];
}

// take takes the code of entry e and its value off the buffer. A code of the
// table and its value are at most 24 bits, so two can be taken between refills,
// and the next looked at; a longer code refills for itself.
INLINE int take(reader *r, const px_codes *c, int dc, uint32_t *e) {
	if (__builtin_expect(*e == 0, 0)) {
		*e = long_code(r->buffer, c, dc);
		refill(r);
	}
	int s = (int)(*e >> 16 & 255);
	uint64_t t = r->buffer << (*e >> 24);
	int value = (int)(t >> 1 >> (63 - s));
	int below = ~(int)((int64_t)t >> 63); // T.81, F.2.2.1: a leading zero is a value below zero
	r->buffer <<= *e & 255;
	r->count -= (int)(*e & 255);
	return value + (below & (1 - (1 << s)));
}

// first decodes the first coefficient, of which the data hold the change since
// the block before.
INLINE void first(reader *r, const px_codes *dc, int *last) {
	refill(r);
	uint32_t e = peek(r, dc);
	*last = (int)((unsigned)*last + (unsigned)take(r, dc, 1, &e));
}

// block decodes one block; out is zeroed before. The next code is looked up
// before a refill, so that neither waits for the other.
INLINE void block(reader *r, const px_codes *dc, const px_codes *ac, int *last, JCOEF *out) {
	first(r, dc, last);
	out[0] = (JCOEF)*last;
	uint32_t e = peek(r, ac);
	int k = 1;
	for (;;) {
		int v = take(r, ac, 0, &e);
		k += (int)(e >> 8 & 255);
		out[natural[k]] = (JCOEF)v;
		if (++k > 63)
			return;
		e = peek(r, ac);
		refill(r);
		v = take(r, ac, 0, &e);
		k += (int)(e >> 8 & 255);
		out[natural[k]] = (JCOEF)v;
		if (++k > 63)
			return;
		e = peek(r, ac);
	}
}

// skip_block passes over a block, several codes at a time; of its values only
// the first coefficient's matters, to the blocks after it. A step takes at most
// 26 bits, so two can be taken between refills.
INLINE void skip_block(reader *r, const px_codes *dc, const px_codes *ac, int *last) {
	first(r, dc, last);
	int k = 1;
	for (;;) {
		unsigned s = ac->skip[r->buffer >> (64 - px_skip)];
		if (__builtin_expect(refill(r), 0))
			s = ac->skip[r->buffer >> (64 - px_skip)];
		for (int twice = 0;; twice++) {
			int passed = (int)(s >> skip_passed & 127), end = (int)(s >> skip_end);
			// The block ends within these codes, or there is a long one.
			if (__builtin_expect(k + passed + end > 64, 0)) {
				uint32_t e = peek(r, ac);
				take(r, ac, 0, &e);
				k += (int)(e >> 8 & 255) + 1;
				if (k > 63)
					return;
				break;
			}
			r->buffer <<= s & 63;
			r->count -= (int)(s & 63);
			k += passed;
			if (end | (k == 64))
				return;
			if (twice)
				break;
			s = ac->skip[r->buffer >> (64 - px_skip)];
		}
	}
}

// unstuff copies the data up to the next marker, without the zeros that follow
// bytes 0xff, and leaves at before the marker.
static void unstuff(px_bits *b) {
	uint8_t *out = b->plain;
	const uint8_t *p = b->at;
	b->at_end = 1;
	while (p < b->end) {
		const uint8_t *ff = memchr(p, 0xff, (size_t)(b->end - p));
		size_t n = (size_t)((ff ? ff : b->end) - p);
		memcpy(out, p, n);
		out += n;
		p += n;
		if (!ff)
			break;
		// Any number of bytes 0xff and then a zero stand for one; anything else is
		// a marker.
		while (p < b->end && *p == 0xff)
			p++;
		if (p < b->end && *p != 0) {
			p = ff;
			b->at_end = 0;
			break;
		}
		if (p < b->end) {
			*out++ = 0xff;
			p++;
		}
	}
	b->at = p;
	b->plain_at = b->plain;
	b->plain_end = out;
	b->buffer = 0;
	b->count = b->made_up = 0;
	memset(b->dc, 0, sizeof b->dc);
}

// next_marker goes to the next marker, which it gives, and leaves at behind it.
static int next_marker(px_bits *b) {
	for (;;) {
		while (b->at < b->end && *b->at != 0xff)
			b->at++;
		while (b->at < b->end && *b->at == 0xff)
			b->at++;
		if (b->at >= b->end)
			return JPEG_EOI;
		if (*b->at++)
			return b->at[-1];
	}
}

// restart begins the next interval. Where its marker is not the one that is due
// it does as libjpeg-turbo does: goes on to a later one, stays before one of
// the future, or takes it for the right one.
static void restart(j_decompress_ptr d, px_bits *b) {
	int due = b->next_restart;
	b->to_restart = d->restart_interval;
	b->next_restart = (due + 1) & 7;
	for (;;) {
		int m = next_marker(b), off = (m - JPEG_RST0 - due) & 7;
		int is_restart = m >= JPEG_RST0 && m <= JPEG_RST0 + 7;
		if (m < 0xc0 || (is_restart && (off == 7 || off == 6))) {
			if (b->at < b->end)
				continue; // no marker, or one of the past
		} else if (!is_restart || off == 1 || off == 2) {
			// The interval is missing: made-up zeros, or still nothing.
			if (!(b->at >= b->end && m == JPEG_EOI))
				b->at -= 2;
		} else {
			d->entropy->insufficient_data = FALSE;
		}
		break;
	}
	unstuff(b);
}

INLINE reader resume(const px_bits *b) {
	return (reader){
		.buffer = b->buffer,
		.count = b->count,
		.made_up = b->made_up,
		.at = b->plain_at,
		.end = b->plain_end,
	};
}

INLINE void suspend(px_bits *b, const reader *r) {
	b->buffer = r->buffer;
	b->count = r->count;
	b->made_up = r->made_up;
	b->plain_at = r->at;
}

// decode_mcu decodes the MCU that the data are at, or passes over it where it is null.
INLINE void decode_mcu(j_decompress_ptr d, px_bits *b, reader *r, JBLOCKROW *mcu) {
	for (int i = 0; i < d->blocks_in_MCU; i++) {
		int c = d->MCU_membership[i];
		const px_codes *dc = &b->dc_codes[d->cur_comp_info[c]->dc_tbl_no],
			       *ac = &b->ac_codes[d->cur_comp_info[c]->ac_tbl_no];
		if (mcu)
			block(r, dc, ac, &b->dc[c], mcu[i][0]);
		else
			skip_block(r, dc, ac, &b->dc[c]);
	}
}

// find notes where an MCU begins that has an entry point. What a px_point cannot tell ends
// the search.
static void find(const j_decompress_ptr d, px_bits *b) {
	uint64_t bit = (uint64_t)(b->plain_at - b->plain) * 8 + (uint64_t)b->made_up - (uint64_t)b->count;
	px_point p = {.bits = (uint16_t)(bit - b->point)};
	int fits = bit - b->point <= UINT16_MAX;
	for (int c = 0; c < d->comps_in_scan; c++) {
		p.dc[c] = (int16_t)b->dc[c];
		fits &= p.dc[c] == b->dc[c];
	}
	if (!fits) {
		b->points_mode = px_points_none;
		b->points_n = 0;
		return;
	}
	b->points[b->points_n++] = p;
	b->point = bit;
}

// follow goes to the last entry point up to an MCU, if that is further on.
static void follow(const j_decompress_ptr d, px_bits *b, unsigned mcu) {
	size_t to = mcu / b->apart;
	if (to * b->apart <= b->data_at)
		return;
	while (b->points_at < to)
		b->point += b->points[++b->points_at].bits;
	b->data_at = (unsigned)to * b->apart;
	for (int c = 0; c < d->comps_in_scan; c++)
		b->dc[c] = b->points[to].dc[c];
	reader r = {.at = b->plain + b->point / 8, .end = b->plain_end};
	if (r.at > r.end)
		r.at = r.end;
	refill(&r);
	r.buffer <<= b->point % 8;
	r.count -= (int)(b->point % 8);
	suspend(b, &r);
}

// wanted says whether the next MCU's coefficients are: rows above the region come without a
// place for them, columns beside it are not transformed.
static int wanted(const j_decompress_ptr d, px_bits *b, JBLOCKROW *mcu) {
	int is = mcu && b->column >= d->master->first_iMCU_col && b->column <= d->master->last_iMCU_col;
	if (++b->column == d->MCUs_per_row)
		b->column = 0;
	return is;
}

// check_data says so, once, if bits were used that are not there.
static void check_data(j_decompress_ptr d, const px_bits *b) {
	if (b->count < b->made_up) {
		d->entropy->insufficient_data = TRUE;
		if (b->at_end)
			WARNMS(d, JWRN_JPEG_EOF);
		else
			WARNMS(d, JWRN_HIT_MARKER);
	}
}

METHODDEF(boolean) decode(j_decompress_ptr d, JBLOCKROW *mcu) {
	px_bits *b = d->client_data;
	if (d->restart_interval && b->to_restart == 0)
		restart(d, b);
	if (b->points_mode == px_points_find && b->mcu % b->apart == 0)
		find(d, b);
	b->mcu++;
	if (!wanted(d, b, mcu))
		mcu = NULL;
	if (!d->entropy->insufficient_data) {
		reader r = resume(b);
		if (mcu)
			decode_mcu(d, b, &r, mcu);
		else
			decode_mcu(d, b, &r, NULL);
		suspend(b, &r);
		check_data(d, b);
	}
	if (d->restart_interval)
		b->to_restart--;
	return TRUE;
}

// decode_from is decode with entry points: what is not wanted is not even passed over, but
// for the few MCUs between an entry point and the next that is.
METHODDEF(boolean) decode_from(j_decompress_ptr d, JBLOCKROW *mcu) {
	px_bits *b = d->client_data;
	unsigned at = b->mcu++;
	if (!wanted(d, b, mcu) || d->entropy->insufficient_data)
		return TRUE;
	follow(d, b, at);
	reader r = resume(b);
	for (; b->data_at < at; b->data_at++)
		decode_mcu(d, b, &r, NULL);
	decode_mcu(d, b, &r, mcu);
	b->data_at++;
	suspend(b, &r);
	check_data(d, b);
	return TRUE;
}

void px_find_points(j_decompress_ptr d, px_bits *b) {
	unsigned n = d->MCUs_per_row * d->MCU_rows_in_scan;
	while (b->points_mode == px_points_find && b->mcu < n)
		decode(d, NULL);
	if (b->points_mode != px_points_find || d->err->num_warnings)
		b->points_n = 0;
}

// ready_points makes ready to find entry points or to use them; where they cannot be had there are none.
static int ready_points(j_decompress_ptr d, px_bits *b, int points) {
	b->apart = (unsigned)(px_apart / d->blocks_in_MCU);
	size_t n = ((size_t)d->MCUs_per_row * d->MCU_rows_in_scan + b->apart - 1) / b->apart;
	b->mcu = b->data_at = 0;
	b->point = b->points_at = 0;
	if (points == px_points_use && b->points_n == n)
		return points;
	b->points_n = 0;
	if (points != px_points_find || d->restart_interval || d->comps_in_scan > 3)
		return px_points_none;
	return px_room_for_points(b, n) ? points : px_points_none;
}

int px_take_over(j_decompress_ptr d, px_bits *b, int points) {
	b->points_mode = px_points_none;
	if (d->progressive_mode || d->arith_code || d->data_precision != 8 || d->inputctl->has_multiple_scans)
		return 0;
	for (int i = 0; i < d->comps_in_scan; i++) {
		const jpeg_component_info *c = d->cur_comp_info[i];
		// libjpeg-turbo has checked the tables when the scan began.
		make_codes(&b->dc_codes[c->dc_tbl_no], d->dc_huff_tbl_ptrs[c->dc_tbl_no], 1);
		make_codes(&b->ac_codes[c->ac_tbl_no], d->ac_huff_tbl_ptrs[c->ac_tbl_no], 0);
	}
	b->at = d->src->next_input_byte;
	b->end = b->at + d->src->bytes_in_buffer;
	size_t need = d->src->bytes_in_buffer + 8;
	if (need > b->plain_cap) {
		free(b->plain);
		b->plain = malloc(need + need / 2);
		b->plain_cap = b->plain ? need + need / 2 : 0;
		if (!b->plain)
			return 0;
	}
	b->next_restart = 0;
	b->column = 0;
	b->to_restart = d->restart_interval;
	unstuff(b);
	d->client_data = b;
	b->points_mode = ready_points(d, b, points);
	d->entropy->decode_mcu = b->points_mode == px_points_use ? decode_from : decode;
	return 1;
}

#endif
