package encode

import (
	"github.com/apache/arrow/go/v15/arrow/float16"
	ieee "github.com/x448/float16"
)

// Half rounds to the nearest float16, ties to even, as IEEE 754 has it; what is
// too large becomes infinite. Arrow's own conversion cuts digits off.
func Half(f float32) float16.Num {
	return float16.FromBits(ieee.Fromfloat32(f).Bits())
}
