package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestBenchTrain measures one step of each precision and reads what is said.
func TestBenchTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	lib := needEngine(t)
	out, _ := runVerb(t, exitOK, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "2", "--steps", "2", "--warmup", "0",
		"--threads", "1", "--peak-tflops", "0.5", "--json", "--progress", "off")
	var runs []trainRun
	if err := json.Unmarshal([]byte(out), &runs); err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 || runs[0].Precision != "fp32" || runs[1].Precision != "bf16" {
		t.Fatalf("runs %+v", runs)
	}
	for _, r := range runs {
		parts := r.DataWait + r.Forward + r.Backward + r.Update
		if r.ImagesPerSecond <= 0 || r.ImagesPerCPUSecond <= 0 || r.PeakBytes <= 0 || r.TFLOPS <= 0 || r.MFU <= 0 || r.Loss <= 0 || parts <= 0 || parts > 1.5*r.Step {
			t.Errorf("%+v", r)
		}
	}
	out, _ = runVerb(t, exitOK, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "1", "--steps", "1", "--warmup", "0",
		"--precision", "fp32", "--unfused", "--recompute", "--progress", "off")
	if !strings.Contains(out, "images/s") || !strings.Contains(out, "synthetic") {
		t.Errorf("table: %s", out)
	}
}

func TestBenchTrainMistakes(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitUsage, []string{"--batch", "0"}, "--batch"},
		{exitUsage, []string{"somewhere"}, "somewhere"},
		{exitNative, []string{"--torch-lib", "/nonexistent/none.so"}, "none.so"},
	} {
		_, errs := runVerb(t, c.code, append([]string{"bench", "train"}, c.args...)...)
		if !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: %q", c.args, errs)
		}
	}
}
