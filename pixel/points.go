package pixel

// #include "jpeg.h"
import "C"

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"unsafe"
)

// Points are entry points into the data of one baseline JPEG: where every eighth MCU or so begins, so
// that what stands before, beside and between the rows of a crop need not be decoded. They
// tell which bytes they are of, by length and CRC-32C, and are nothing to any others. They
// take 8 bytes for each 60 blocks of 64 coefficients at most, of fewer in narrow images: 0.8 kB of 500x375 pixels with chroma at half size, 1.5 kB without, are this process's own, and are not for a file.
// Empty: not known.
type Points []byte

// pointsHead is what comes before the points: the image's CRC-32C and its length.
const pointsHead = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head begins the points of an image.
func (p Points) head(b []byte) Points {
	p = binary.LittleEndian.AppendUint32(p[:0], crc32.Checksum(b, castagnoli))
	return binary.LittleEndian.AppendUint32(p, uint32(len(b)))
}

// of says whether they are an image's.
func (p Points) of(b []byte) bool {
	return len(p) >= pointsHead && binary.LittleEndian.Uint32(p[4:]) == uint32(len(b)) && binary.LittleEndian.Uint32(p) == crc32.Checksum(b, castagnoli)
}

// TrainFrom is Train that begins where known says and gives the same pixels; where known is
// of other bytes, or empty, it is set to the image's, for the next time. That goes through the rest
// of the data, and is not for an image that comes once. Images that can have no
// entry points, JPEGs that are progressive, arithmetic, damaged or with restarts, are known
// to have none; of what is no JPEG known is left as it is.
func (d *Decoder) TrainFrom(dst, b []byte, t Train, rng *rand.Rand, known *Points) error {
	d.points = known
	defer func() { d.points = nil }()
	return d.Train(dst, b, t, rng)
}

// usePoints says what the next decoding of b does with entry points.
func (d *Decoder) usePoints(b []byte) C.int {
	switch {
	case d.points == nil:
		return C.px_points_none
	case !d.points.of(b):
		return C.px_points_find
	}
	at := (*d.points)[pointsHead:]
	if len(at) == 0 || C.px_jpeg_set_points(d.jpeg, unsafe.Pointer(&at[0]), C.size_t(len(at))) == 0 {
		return C.px_points_none
	}
	return C.px_points_use
}

// keepPoints takes what a decoding of b found.
func (d *Decoder) keepPoints(b []byte) {
	var n C.size_t
	at := C.px_jpeg_points(d.jpeg, &n)
	*d.points = append(d.points.head(b), unsafe.Slice((*byte)(at), int(n))...)
}
