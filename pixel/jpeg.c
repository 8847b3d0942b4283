#include "jpeg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "huffman.h"

// A progressive image may have many scans, each of which costs a pass over
// all coefficients, and a scan may be a few bytes. No encoder makes more than
// max_scans; where the image is large, few_scans is more than any makes.
enum { max_scans = 256, few_scans = 20 };
static const double max_work = 2e9; // pixels visited

typedef struct {
	struct jpeg_error_mgr base;
	jmp_buf out;
	int truncated;
	char *message; // the caller's, of room bytes; null where there is nobody to tell
	size_t room;
} errors;

struct px_jpeg {
	struct jpeg_decompress_struct d;
	errors e;
	struct jpeg_progress_mgr progress;
	px_bits bits;
	uint8_t *rgb, *cmyk;
	size_t rgb_cap, cmyk_cap;
};

// tell puts a reason into the caller's buffer, cut to its size.
static void tell(const errors *e, const char *format, ...) {
	va_list args;
	if (!e->message || e->room == 0)
		return;
	va_start(args, format);
	vsnprintf(e->message, e->room, format, args);
	va_end(args);
}

static void fail(j_common_ptr c) {
	errors *e = (errors *)c->err;
	char text[JMSG_LENGTH_MAX];
	e->base.format_message(c, text);
	tell(e, "%s", text);
	longjmp(e->out, 1);
}

static void note(j_common_ptr c, int level) {
	errors *e = (errors *)c->err;
	if (level < 0) {
		e->base.num_warnings++;
		// Data that stop at a marker are as lost as those that stop at the file's end.
		if (e->base.msg_code == JWRN_JPEG_EOF || e->base.msg_code == JWRN_HIT_MARKER)
			e->truncated = 1;
	}
}

static void quiet(j_common_ptr c) {
	(void)c;
}

static void watch(j_common_ptr c) {
	j_decompress_ptr d = (j_decompress_ptr)c;
	double work = (double)d->input_scan_number * d->image_width * d->image_height;
	if (d->input_scan_number > max_scans || (d->input_scan_number > few_scans && work > max_work)) {
		errors *e = (errors *)c->err;
		tell(e, "more than %d scans of %u x %u pixels", d->input_scan_number - 1, d->image_width,
			d->image_height);
		e->truncated = 0;
		longjmp(e->out, 1);
	}
}

static void set_errors(errors *e, char *message, size_t room) {
	jpeg_std_error(&e->base);
	e->base.error_exit = fail;
	e->base.emit_message = note;
	e->base.output_message = quiet;
	e->truncated = 0;
	e->message = message;
	e->room = room;
}

px_jpeg *px_jpeg_new(void) {
	px_jpeg *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->d.err = &p->e.base;
	p->progress.progress_monitor = watch;
	return p;
}

void px_jpeg_free(px_jpeg *p) {
	if (!p)
		return;
	jpeg_destroy_decompress(&p->d);
	free(p->bits.plain);
	free(p->bits.points);
	free(p->bits.rows);
	free(p->rgb);
	free(p->cmyk);
	free(p);
}

static int grow(uint8_t **buf, size_t *cap, size_t n) {
	if (n <= *cap)
		return 1;
	free(*buf);
	*buf = malloc(n);
	*cap = *buf ? n : 0;
	return *buf != NULL;
}

// cmyk_row converts one row. Files hold the inverse of the inks, as Adobe's
// do: with Adobe's marker or, as Pillow takes it, without.
static void cmyk_row(const uint8_t *in, uint8_t *out, int n) {
	for (int i = 0; i < n; i++, in += 4, out += 3) {
		for (int c = 0; c < 3; c++) {
			int t = in[c] * in[3] + 128;
			out[c] = (uint8_t)(((t >> 8) + t) >> 8);
		}
	}
}

int px_jpeg_decode(px_jpeg *p, const uint8_t *data, size_t n, px_region *region, char *message, size_t room) {
	struct jpeg_decompress_struct *d = &p->d;
	set_errors(&p->e, message, room);
	if (setjmp(p->e.out)) {
		jpeg_abort_decompress(d);
		return p->e.truncated ? PX_TRUNCATED : PX_MALFORMED;
	}
	// One decompressor an image: it keeps tables, and an image without its own would
	// be decoded by those of the one before.
	jpeg_destroy_decompress(d);
	jpeg_create_decompress(d);
	d->progress = &p->progress;
	jpeg_mem_src(d, data, n);
	jpeg_read_header(d, TRUE);
	int inks = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
	d->out_color_space = inks ? JCS_CMYK : JCS_RGB;
	d->scale_num = 1;
	d->scale_denom = region->denominator;
	d->dct_method = JDCT_ISLOW;
	jpeg_start_decompress(d);
	int own = !region->plain && px_take_over(d, &p->bits, region->points);
	if (!own)
		p->bits.points_n = 0;

	// The region in decoded pixels, one more on each side for rounding.
	int q = region->denominator;
	int x0 = region->x / q - 1, x1 = (region->x + region->w + q - 1) / q + 1;
	int y0 = region->y / q - 1, y1 = (region->y + region->h + q - 1) / q + 1;
	if (q == 1) {
		x0 = region->x;
		x1 = region->x + region->w;
		y0 = region->y;
		y1 = region->y + region->h;
	}
	if (x0 < 0)
		x0 = 0;
	if (y0 < 0)
		y0 = 0;
	if (x1 > (int)d->output_width)
		x1 = d->output_width;
	if (y1 > (int)d->output_height)
		y1 = d->output_height;

	// Columns: whole blocks, and one more on each side, so that smooth
	// upsampling sees the neighbours that it sees in the whole image.
	int full = d->output_width, left = 0, width = full;
	int block = d->max_h_samp_factor * d->min_DCT_scaled_size;
	int from = x0 - block, to = x1 + block;
	if (from > 0 || to < full) {
		JDIMENSION off = from < 0 ? 0 : from, wide = (to > full ? full : to) - off;
		jpeg_crop_scanline(d, &off, &wide);
		left = off;
		width = wide;
	}
	if (own)
		px_want_rows(d, &p->bits, (unsigned)y1 - 1);
	int w = x1 - x0, h = y1 - y0;
	// Rows are kept as wide as they were decoded, sparing a copy; inks are converted.
	size_t stride = (size_t)(inks ? w : width) * 3, first = inks ? 0 : (size_t)(x0 - left) * 3;
	if (!grow(&p->rgb, &p->rgb_cap, stride * h + 64) ||
		(inks && !grow(&p->cmyk, &p->cmyk_cap, (size_t)width * 4))) {
		jpeg_abort_decompress(d);
		tell(&p->e, "no memory for %d x %d pixels", w, h);
		return PX_MEMORY;
	}
	if (y0 > 0)
		jpeg_skip_scanlines(d, y0);
	for (int y = 0; y < h; y++) {
		uint8_t *out = p->rgb + y * stride, *row = inks ? p->cmyk : out;
		jpeg_read_scanlines(d, &row, 1);
		if (inks)
			cmyk_row(row + (size_t)(x0 - left) * 4, out, w);
	}
	int truncated = p->e.truncated; // as far as it matters here
	if (own && region->points == px_points_find)
		px_find_points(d, &p->bits);
	// The rows below are not wanted, and abort is cheaper than reading them.
	jpeg_abort_decompress(d);
	region->x = x0;
	region->y = y0;
	region->w = w;
	region->h = h;
	region->stride = stride;
	region->rgb = p->rgb + first;
	if (truncated && !region->accept_truncated) {
		tell(&p->e, "the data end early");
		return PX_TRUNCATED;
	}
	return PX_OK;
}

int px_jpeg_set_points(px_jpeg *p, const void *points, size_t n) {
	size_t count = n / sizeof(px_point);
	if (!px_room_for_points(&p->bits, count))
		return 0;
	memcpy(p->bits.points, points, count * sizeof(px_point));
	p->bits.points_n = count;
	return 1;
}

const void *px_jpeg_points(const px_jpeg *p, size_t *n) {
	*n = p->bits.points_n * sizeof(px_point);
	return p->bits.points;
}

int px_jpeg_encode(
	const uint8_t *rgb, int w, int h, int quality, uint8_t **out, unsigned long *n, char *message, size_t room) {
	struct jpeg_compress_struct c;
	errors e;
	set_errors(&e, message, room);
	c.err = &e.base;
	*out = NULL;
	if (setjmp(e.out)) {
		jpeg_destroy_compress(&c);
		free(*out);
		*out = NULL;
		return PX_MALFORMED;
	}
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, out, n);
	c.image_width = w;
	c.image_height = h;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, quality, TRUE);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < c.image_height) {
		uint8_t *row = (uint8_t *)rgb + (size_t)c.next_scanline * w * 3;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return PX_OK;
}
