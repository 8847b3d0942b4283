#include "huffman.h"

#include <stdlib.h>
#include <string.h>

#ifndef PX_TAKES_OVER

// This libjpeg-turbo does not show its inner interface: its own decoder stays.
int px_take_over(j_decompress_ptr d, px_bits *bits, int points) {
	(void)d;
	(void)bits;
	(void)points;
	return 0;
}

#else

#define JPEG_INTERNALS
#include <jerror.h>
#include <jpegint.h>

#include "lane.h"
#include "points.h"

const uint8_t px_order[64 + 16 + px_past] __attribute__((aligned(px_order_aligned))) = {0, 1, 8, 16, 9, 2, 3, 10, 17,
	24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50,
	43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62,
	[63 ... 64 + 16 + px_past - 1] = 63};

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
	memset(out, 0, px_pad);
	b->bit = 0;
	b->end_bit = (uint64_t)(out - b->plain) * 8;
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

// check_data says so, once, if bits were used that are not there.
static void check_data(j_decompress_ptr d, const px_bits *b) {
	if (b->bit > b->end_bit)
		px_data_end(d, b);
}

void px_data_end(j_decompress_ptr d, const px_bits *b) {
	d->entropy->insufficient_data = TRUE;
	if (b->at_end)
		WARNMS(d, JWRN_JPEG_EOF);
	else
		WARNMS(d, JWRN_HIT_MARKER);
}

int px_wanted(const j_decompress_ptr d, px_bits *b, JBLOCKROW *mcu) {
	int is = mcu && b->column >= d->master->first_iMCU_col && b->column <= d->master->last_iMCU_col;
	if (++b->column == d->MCUs_per_row)
		b->column = 0;
	return is;
}

// pass_over passes over an MCU.
static void pass_over(px_bits *b) {
	px_lane l = px_resume(b);
	for (unsigned i = 0; i < b->blocks; i++) {
		int k;
		begin_skip(&l, &k, &b->block[i], b->plain);
		while (!skip_some(&l, &k, b->plain))
			;
	}
	px_suspend(b, &l);
}

boolean px_decode(j_decompress_ptr d, JBLOCKROW *mcu) {
	px_bits *b = d->client_data;
	if (d->restart_interval && b->to_restart == 0)
		restart(d, b);
	if (b->points_mode == px_points_find && b->column % b->apart == 0)
		px_note_point(d, b);
	b->mcu++;
	int wanted = px_wanted(d, b, mcu);
	if (!d->entropy->insufficient_data) {
		if (wanted) {
			px_lane l = px_resume(b);
			for (unsigned i = 0; i < b->blocks; i++) {
				l.out = mcu[i][0];
				block(&l, &b->block[i], b->plain);
			}
			px_suspend(b, &l);
		} else {
			pass_over(b);
		}
		check_data(d, b);
	}
	if (d->restart_interval)
		b->to_restart--;
	return TRUE;
}

int px_take_over(j_decompress_ptr d, px_bits *b, int points) {
	b->points_mode = px_points_none;
	if (d->progressive_mode || d->arith_code || d->data_precision != 8 || d->inputctl->has_multiple_scans)
		return 0;
	b->blocks = (unsigned)d->blocks_in_MCU;
	for (unsigned i = 0; i < b->blocks; i++) {
		int in = d->MCU_membership[i];
		const jpeg_component_info *c = d->cur_comp_info[in];
		px_codes *dc = &b->dc_codes[c->dc_tbl_no], *ac = &b->ac_codes[c->ac_tbl_no];
		// libjpeg-turbo has checked the tables when the scan began.
		px_make_codes(dc, d->dc_huff_tbl_ptrs[c->dc_tbl_no], 1);
		px_make_codes(ac, d->ac_huff_tbl_ptrs[c->ac_tbl_no], 0);
		b->block[i] = (px_block){dc, ac, in};
	}
	b->at = d->src->next_input_byte;
	b->end = b->at + d->src->bytes_in_buffer;
	size_t need = d->src->bytes_in_buffer + px_pad;
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
	b->points_mode = px_ready_points(d, b, points);
	d->entropy->decode_mcu = b->points_mode == px_points_use ? px_decode_from : px_decode;
	return 1;
}

#endif
