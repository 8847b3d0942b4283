#include "points.h"

#include <stdlib.h>

int px_room_for_points(px_bits *b, size_t n) {
	if (n <= b->points_cap)
		return 1;
	free(b->points);
	b->points = malloc(n * sizeof *b->points);
	b->points_cap = b->points ? n : 0;
	return b->points != NULL;
}

#ifndef PX_TAKES_OVER

void px_want_rows(j_decompress_ptr d, px_bits *bits, unsigned last) {
	(void)d;
	(void)bits;
	(void)last;
}

void px_find_points(j_decompress_ptr d, px_bits *bits) {
	(void)d;
	(void)bits;
}

#else

#define JPEG_INTERNALS
#include <jpegint.h>

#include "lane.h"

// Blocks are aligned as libjpeg-turbo's own are, for its instructions.
enum { block_size = DCTSIZE2, row_aligned = 64 };

// room_for_rows makes room for two rows of MCUs.
static int room_for_rows(const j_decompress_ptr d, px_bits *b) {
	size_t n = (size_t)2 * d->MCUs_per_row * b->blocks * block_size;
	if (n <= b->rows_cap)
		return 1;
	free(b->rows);
	b->rows = aligned_alloc(row_aligned, n * sizeof *b->rows); // whole blocks are a multiple of it
	b->rows_cap = b->rows ? n : 0;
	return b->rows != NULL;
}

int px_ready_points(j_decompress_ptr d, px_bits *b, int points) {
	unsigned most = px_apart / b->blocks;
	b->row_points = (d->MCUs_per_row + most - 1) / most;
	b->apart = (d->MCUs_per_row + b->row_points - 1) / b->row_points;
	size_t n = (size_t)b->row_points * d->MCU_rows_in_scan;
	b->mcu = 0;
	b->point = b->points_at = 0;
	b->rows_n = 0;
	b->rows_wanted = d->MCU_rows_in_scan;
	int can = !d->restart_interval && d->comps_in_scan <= 3;
	if (points == px_points_use && can && b->points_n == n)
		return room_for_rows(d, b) ? points : px_points_none;
	b->points_n = 0;
	if (points != px_points_find || !can)
		return px_points_none;
	return px_room_for_points(b, n) ? points : px_points_none;
}

void px_want_rows(j_decompress_ptr d, px_bits *b, unsigned last) {
	unsigned high = (unsigned)d->max_v_samp_factor * (unsigned)d->min_DCT_scaled_size;
	if (d->upsample->need_context_rows) // of a row group below
		last += (unsigned)d->max_v_samp_factor;
	unsigned rows = last / high + 1;
	if (d->comps_in_scan > 1 && rows < b->rows_wanted)
		b->rows_wanted = rows;
}

void px_note_point(const j_decompress_ptr d, px_bits *b) {
	px_point p = {.bits = (uint16_t)(b->bit - b->point)};
	int fits = b->bit - b->point <= UINT16_MAX;
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
	b->point = b->bit;
}

void px_find_points(j_decompress_ptr d, px_bits *b) {
	unsigned n = d->MCUs_per_row * d->MCU_rows_in_scan;
	while (b->points_mode == px_points_find && b->mcu < n)
		px_decode(d, NULL);
	if (b->points_mode != px_points_find || d->err->num_warnings)
		b->points_n = 0;
}

// enter goes to the entry point before an MCU.
static void enter(const j_decompress_ptr d, px_bits *b, unsigned mcu_row, unsigned column) {
	size_t to = (size_t)mcu_row * b->row_points + column / b->apart;
	while (b->points_at < to)
		b->point += b->points[++b->points_at].bits;
	b->bit = b->point;
	for (int c = 0; c < d->comps_in_scan; c++)
		b->dc[c] = b->points[to].dc[c];
}

// row is where one row of MCUs is with its blocks.
typedef struct {
	px_lane lane;
	int16_t *to;    // the next block that is decoded
	unsigned pass;  // blocks that are still to be passed over,
	unsigned left;  // and then to be decoded
	unsigned block; // the next one's place in its MCU
} row;

// pass_next begins to pass over the next block; 0: there is none, or no data for one.
INLINE int pass_next(row *r, int *k, const px_bits *b) {
	if (r->pass == 0 || r->lane.bit > b->end_bit)
		return 0;
	r->pass--;
	begin_skip(&r->lane, k, &b->block[r->block], b->plain);
	if (++r->block == b->blocks)
		r->block = 0;
	return 1;
}

static void pass_row(row *of, const px_bits *b) {
	row r = *of;
	int k, more = pass_next(&r, &k, b);
	while (more)
		if (skip_some(&r.lane, &k, b->plain))
			more = pass_next(&r, &k, b);
	*of = r;
}

// pass_two passes over the blocks between the entry points of two rows and what is wanted.
static void pass_two(row of[2], const px_bits *b) {
	row x = of[0], y = of[1];
	int at_x, at_y, more_x = pass_next(&x, &at_x, b), more_y = pass_next(&y, &at_y, b);
	while (more_x & more_y) {
		int end_x = skip_some(&x.lane, &at_x, b->plain), end_y = skip_some(&y.lane, &at_y, b->plain);
		if (end_x)
			more_x = pass_next(&x, &at_x, b);
		if (end_y)
			more_y = pass_next(&y, &at_y, b);
	}
	while (more_x)
		if (skip_some(&x.lane, &at_x, b->plain))
			more_x = pass_next(&x, &at_x, b);
	while (more_y)
		if (skip_some(&y.lane, &at_y, b->plain))
			more_y = pass_next(&y, &at_y, b);
	of[0] = x;
	of[1] = y;
}

// next begins the next block; 0: there is none, or no data for one.
INLINE int next(row *r, const px_bits *b) {
	typedef long long v2 __attribute__((vector_size(16), may_alias));
	if (r->left == 0 || r->lane.bit > b->end_bit)
		return 0;
	r->left--;
	r->lane.out = r->to;
	r->to += block_size;
	v2 *out = (v2 *)r->lane.out;
	for (int i = 0; i < block_size * 2 / 16; i++)
		out[i] = (v2){0, 0};
	begin(&r->lane, &b->block[r->block], b->plain);
	if (++r->block == b->blocks)
		r->block = 0;
	return 1;
}

// finish decodes a row, alone, from within a block on.
INLINE void finish(row *r, const px_bits *b) {
	do {
		fill(&r->lane, b->plain);
		for (int i = 0; i < at_once && !ended(&r->lane); i++)
			coefficient(&r->lane, b->plain);
	} while (!ended(&r->lane) || next(r, b));
}

static void decode_row(row *of, const px_bits *b) {
	row r = *of;
	if (next(&r, b))
		finish(&r, b);
	*of = r;
}

// decode_two decodes two rows side by side: while the codes of one are waited for, as each says
// where the next begins, the processor is at the other's.
static void decode_two(row of[2], const px_bits *b) {
	row x = of[0], y = of[1];
	const uint8_t *data = b->plain;
	int more_x = next(&x, b), more_y = next(&y, b);
	while (more_x & more_y) {
		fill(&x.lane, data);
		fill(&y.lane, data);
		for (int i = 0; i < at_once; i++) {
			coefficient(&x.lane, data);
			if (ended(&x.lane)) {
				if (!(more_x = next(&x, b)))
					break;
				fill(&x.lane, data);
			}
			coefficient(&y.lane, data);
			if (ended(&y.lane)) {
				if (!(more_y = next(&y, b)))
					break;
				fill(&y.lane, data);
			}
		}
	}
	if (more_x)
		finish(&x, b);
	if (more_y)
		finish(&y, b);
	of[0] = x;
	of[1] = y;
}

// decode_rows decodes what is wanted of a row of MCUs, and of the one below it where that is wanted, too.
static void decode_rows(j_decompress_ptr d, px_bits *b, unsigned at) {
	unsigned from = d->master->first_iMCU_col, to = d->master->last_iMCU_col + 1;
	if (to > d->MCUs_per_row)
		to = d->MCUs_per_row;
	unsigned blocks = (to - from) * b->blocks;
	b->rows_n = at + 1 < b->rows_wanted ? 2 : 1;
	b->rows_at = at;
	b->rows_from = from;
	b->rows_blocks = blocks;
	row rows[2];
	for (unsigned i = 0; i < b->rows_n; i++) {
		enter(d, b, at + i, from);
		rows[i] = (row){.lane = px_resume(b), .pass = from % b->apart * b->blocks, .left = blocks};
		rows[i].to = b->rows + (size_t)i * blocks * block_size;
	}
	if (b->rows_n == 2) {
		pass_two(rows, b);
		decode_two(rows, b);
	} else {
		pass_row(rows, b);
		decode_row(rows, b);
	}
	for (unsigned i = 0; i < b->rows_n; i++)
		if (rows[i].left > 0 || rows[i].lane.bit > b->end_bit) {
			px_data_end(d, b);
			return;
		}
}

boolean px_decode_from(j_decompress_ptr d, JBLOCKROW *mcu) {
	px_bits *b = d->client_data;
	unsigned row = b->mcu / d->MCUs_per_row, column = b->mcu % d->MCUs_per_row;
	b->mcu++;
	if (!px_wanted(d, b, mcu) || d->entropy->insufficient_data)
		return TRUE;
	if (row - b->rows_at >= b->rows_n)
		decode_rows(d, b, row);
	if (d->entropy->insufficient_data) {
		memset(mcu[0], 0, b->blocks * sizeof(JBLOCK)); // which may lie in rows
		return TRUE;
	}
	size_t first = (size_t)(row - b->rows_at) * b->rows_blocks + (size_t)(column - b->rows_from) * b->blocks;
	for (unsigned i = 0; i < b->blocks; i++)
		mcu[i] = (JBLOCKROW)(b->rows + (first + i) * block_size);
	return TRUE;
}

#endif
