package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/bench"
)

// TestBenchTrain measures one step of each precision and reads what is said.
func TestBenchTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	lib := needEngine(t)
	var runs []bench.StepReport
	for _, precision := range []string{"fp32", "bf16"} {
		out, _ := runVerb(t, exitOK, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "2", "--steps", "3", "--warmup", "0",
			"--threads", "1", "--precision", precision, "--peak-tflops", "0.5", "--json", "--progress", "off")
		var of struct{ Runs []bench.StepReport }
		check(t, json.Unmarshal([]byte(out), &of))
		runs = append(runs, of.Runs...)
	}
	var precisions []string
	for _, r := range runs {
		precisions = append(precisions, r.Precision)
		parts := r.DataWait + r.Forward + r.Backward + r.Update
		for what, v := range map[string]float64{"images a second": r.ImagesPerSecond, "images a CPU second": r.ImagesPerCPUSecond,
			"bytes": float64(r.PeakBytes), "TFLOPS": r.TFLOPS, "MFU": r.MFU, "loss": r.Loss, "parts": float64(parts)} {
			if !(v > 0) {
				t.Errorf("%s: %s %v", r.Precision, what, v)
			}
		}
		if parts > 1.5*r.Step {
			t.Errorf("%s: the parts of a step take %v, the step %v", r.Precision, parts, r.Step)
		}
	}
	if diff := cmp.Diff([]string{"fp32", "bf16"}, precisions); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	out, _ := runVerb(t, exitOK, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "1", "--steps", "1", "--warmup", "0",
		"--threads", "1", "--precision", "fp32", "--unfused", "--recompute", "--progress", "off")
	if !strings.Contains(out, "images/s") || !strings.Contains(out, "synthetic") {
		t.Errorf("table: %s", out)
	}
	for _, of := range []string{"--all-plans", "--deterministic", "--profile"} {
		runVerb(t, exitUsage, "bench", "train", "--torch-lib", lib, "--device", "cpu", of)
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
	var got struct{ Runs []bench.StepReport }
	check(t, json.Unmarshal(out, &got))
	if len(got.Runs) != 1 {
		t.Fatalf("%d runs: %s", len(got.Runs), out)
	}
	r := got.Runs[0]
	if r.Procs != 2 {
		t.Errorf("%d processes", r.Procs)
	}
	if ordered := 0 < r.Exposed && r.Exposed <= r.Exchange && r.Exchange <= r.Step; !ordered {
		t.Errorf("a step of %v, gradients on their way for %v, waited for %v", r.Step, r.Exchange, r.Exposed)
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
		{exitUsage, []string{"--procs", "0"}, "1 to 256"},
		{exitUsage, []string{"--threads", "100000"}, "0 to 1024"},
		{exitUsage, []string{"--peak-tflops", "nan"}, "not below"},
		{exitUsage, []string{"--procs", "2", "--profile"}, "--procs 2"},
		{exitUsage, []string{"--all-plans", "--deterministic"}, "--deterministic"},
		{exitUsage, []string{"somewhere"}, "somewhere"},
		{exitNative, []string{"--torch-lib", "/nonexistent/none.so"}, "none.so"},
	} {
		_, errs := runVerb(t, c.code, append([]string{"bench", "train"}, c.args...)...)
		if !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: %q", c.args, errs)
		}
	}
}
