package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/bench"
)

// TestBenchTrain measures one step of each precision and reads what is said.
func TestBenchTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	lib := needEngine(t)
	out, _ := runVerb(t, exitOK, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "2", "--steps", "2", "--warmup", "0",
		"--threads", "1", "--peak-tflops", "0.5", "--json", "--progress", "off")
	var runs []bench.StepReport
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

// TestBenchTrainProcs expects gradients to be on their way for a time, and the
// wait for them to be less.
func TestBenchTrainProcs(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	lib := needEngine(t)
	cmd := synshardCommand(t, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "4", "--steps", "3", "--warmup", "1",
		"--procs", "2", "--precision", "fp32", "--json", "--progress", "off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	check(t, err)
	var runs []bench.StepReport
	check(t, json.Unmarshal(out, &runs))
	if len(runs) != 1 || runs[0].Procs != 2 || runs[0].Exchange <= 0 || runs[0].Exposed <= 0 || runs[0].Exposed > runs[0].Exchange || runs[0].Exchange > runs[0].Step {
		t.Errorf("%s", out)
	}
}

func TestBenchTrainMistakes(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitUsage, []string{"--batch", "0"}, "--batch"},
		{exitUsage, []string{"--procs", "3"}, "--procs 3"},
		{exitUsage, []string{"somewhere"}, "somewhere"},
		{exitNative, []string{"--torch-lib", "/nonexistent/none.so"}, "none.so"},
	} {
		_, errs := runVerb(t, c.code, append([]string{"bench", "train"}, c.args...)...)
		if !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: %q", c.args, errs)
		}
	}
}
