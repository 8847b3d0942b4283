package onnx

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/synshard/synshard/model"
)

// tensorProto builds an initializer as onnx.proto3 has it, its floats in
// float_data or raw_data and its dims packed or not.
func tensorProto(name string, packed, raw bool, values ...float32) []byte {
	m := []byte{10, 1, byte(len(values))}
	if !packed {
		m = []byte{8, byte(len(values))}
	}
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	field := byte(4)
	if raw {
		field = 9
	}
	m = append(m, 16, 1, field<<3|2, byte(len(data)))
	return AppendString(append(m, data...), 8, name)
}

func TestInitializers(t *testing.T) {
	for _, packed := range []bool{false, true} {
		for _, raw := range []bool{false, true} {
			got, err := ParseInitializer(tensorProto("w", packed, raw, 1, -2, 0.5))
			if err != nil {
				t.Fatal(err)
			}
			values, err := got.Floats()
			if err != nil || got.Name != "w" || !slices.Equal(got.Shape, []int{3}) || !slices.Equal(values, []float32{1, -2, 0.5}) {
				t.Errorf("packed %v, raw %v: %+v, %v", packed, raw, got, err)
			}
		}
	}
	elsewhere := append(tensorProto("w", true, true, 1), 14<<3, 1)
	short := append(tensorProto("w", true, true, 1), 8, 9)
	text := append(tensorProto("w", true, true, 1), 16, 8)
	for _, bad := range [][]byte{elsewhere, short, text, {10, 200}} {
		if _, err := ParseInitializer(bad); err == nil {
			t.Errorf("%v is read", bad)
		}
	}
	path := filepath.Join(t.TempDir(), "no.onnx")
	if err := os.WriteFile(path, []byte("no model"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadWeights(path); !errors.Is(err, model.ErrFormat) {
		t.Errorf("text as ONNX: %v", err)
	}
}

func FuzzInitializer(f *testing.F) {
	f.Add(tensorProto("w", true, true, 1, 2))
	f.Add(tensorProto("w", false, false, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseInitializer(b)
		if err == nil && len(x.Data) != model.Elements(x.Shape)*model.ElementSize(x.DType) {
			t.Errorf("%s%v in %d bytes", x.DType, x.Shape, len(x.Data))
		}
	})
}
