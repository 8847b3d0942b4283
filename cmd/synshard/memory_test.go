package main

import "testing"

func TestMemorySize(t *testing.T) {
	for text, want := range map[string]int64{
		"1048576": 1 << 20, "2MiB": 2 << 20, "2m": 2 << 20, "3 GB": 3e9, "1.5g": 3 << 29, "1TiB": 1 << 40, "2e9": 2e9,
		"": 0, "0": 0, "-1g": 0, "1023k": 0, "x": 0, "1 potato": 0, "9e30": 0, "NaN": 0, "1gg": 0,
	} {
		var m memorySize
		if err := m.Set(text); (err == nil) != (want > 0) || int64(m) != want {
			t.Errorf("%q is %d, %v; want %d", text, m, err, want)
		}
	}
}
