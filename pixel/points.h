// What the decoder of a scan and its entry points are to each other.
#ifndef PIXEL_POINTS_H
#define PIXEL_POINTS_H

#include "lane.h"

// px_ready_points makes ready to find entry points or to use them; where they cannot be had it
// gives px_points_none.
int px_ready_points(j_decompress_ptr d, px_bits *bits, int points);

// px_note_point notes where an MCU begins that has an entry point. What a px_point cannot tell ends
// the search.
void px_note_point(const j_decompress_ptr d, px_bits *bits);

// px_decode_from stands in for libjpeg-turbo's decode_mcu with entry points: what is not wanted is not even
// passed over, but for the few MCUs between an entry point and the next that is. An MCU's blocks
// lie in bits->rows then, where libjpeg-turbo finds them and zeroes them when it is done.
boolean px_decode_from(j_decompress_ptr d, JBLOCKROW *mcu);

// px_decode is the same without them, an MCU after the other.
boolean px_decode(j_decompress_ptr d, JBLOCKROW *mcu);

// px_wanted says whether the next MCU's coefficients are: rows above the region come without a
// place for them, columns beside it are not transformed.
int px_wanted(const j_decompress_ptr d, px_bits *bits, JBLOCKROW *mcu);

// px_data_end says that bits were used that are not there.
void px_data_end(j_decompress_ptr d, const px_bits *bits);

INLINE px_lane px_resume(const px_bits *b) {
	px_lane l = {.bit = b->bit};
	memcpy(l.dc, b->dc, sizeof l.dc);
	return l;
}

INLINE void px_suspend(px_bits *b, const px_lane *l) {
	b->bit = l->bit;
	memcpy(b->dc, l->dc, sizeof b->dc);
}

#endif
