package runlog

import (
	"encoding/json"
	"math"
)

// Number is a float64 whose JSON form is null where JSON has no such value. null
// is read as NaN.
type Number float64

// MarshalJSON gives null for NaN and the infinities.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON gives NaN for null.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}
