package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestDescribeMemory wants the batch that fits, a multiple of 8, to fit, and 8 images more not
// to.
func TestDescribeMemory(t *testing.T) {
	describe := func(more ...string) (batch int, total int64, fits bool) {
		t.Helper()
		out, _ := runVerb(t, exitOK, append([]string{"model", "describe", "inception_v3", "--gpu-memory", "--json"}, more...)...)
		var r struct {
			Batch int   `json:"batch"`
			Total int64 `json:"total_bytes"`
			Fits  bool  `json:"fits"`
		}
		check(t, json.Unmarshal([]byte(out), &r))
		return r.Batch, r.Total, r.Fits
	}
	batch, total, fits := describe()
	if batch < 2 || !fits || total > 11e9 {
		t.Errorf("%d images take %d bytes of 11 GB, fits %v", batch, total, fits)
	}
	recomputed, _, _ := describe("--recompute")
	page, err := os.ReadFile("../../docs/TRAINING.md")
	check(t, err)
	if said := fmt.Sprintf("(%d images of 299 pixels in fp16 on 11 GB, %d with `--recompute`)", batch, recomputed); !strings.Contains(string(page), said) {
		t.Errorf("docs/TRAINING.md does not say %s", said)
	}
	if _, more, fits := describe("--batch", strconv.Itoa(batch+8)); fits || more <= 11e9 {
		t.Errorf("8 more take %d bytes, fits %v", more, fits)
	}
	if larger, _, _ := describe("--gpu-memory=80GB"); larger <= batch {
		t.Errorf("%d images fit 80 GB, %d fit 11 GB", larger, batch)
	}
	if _, without, _ := describe("--batch", "8", "--ema", "0"); without <= 0 {
		t.Errorf("%d bytes without averages", without)
	} else if _, with, _ := describe("--batch", "8"); with <= without {
		t.Errorf("%d bytes with averages, %d without", with, without)
	}
	out, _ := runVerb(t, exitOK, "model", "describe", "inception_v3", "--gpu-memory", "--batch", "8", "--precision", "fp32")
	if !strings.Contains(out, "8 images at a time take") {
		t.Error(out)
	}
	for _, line := range []string{"--batch 8", "--gpu-memory --ema 1", "--gpu-memory --batch 0", "--memory", "--gpu-memory --savings", "--budget 11GB"} {
		runVerb(t, exitUsage, append([]string{"model", "describe", "inception_v3"}, strings.Fields(line)...)...)
	}
}
