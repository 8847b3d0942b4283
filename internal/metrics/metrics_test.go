package metrics

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// read parses a file as a scrape does, and gives what does not hang on the clock, with
// its times as whether they are there.
func read(t *testing.T, path string) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	out := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" || f.GetType() != dto.MetricType_GAUGE || len(f.Metric) != 1 {
			t.Errorf("%s: %v", name, f)
		}
		labels := map[string]string{}
		for _, l := range f.Metric[0].Label {
			labels[l.GetName()] = l.GetValue()
		}
		if d := cmp.Diff(map[string]string{"verb": "infer", "task": "nightly"}, labels); d != "" {
			t.Errorf("%s: labels (-want +got):\n%s", name, d)
		}
		v := f.Metric[0].Gauge.GetValue()
		if strings.HasSuffix(name, "timestamp_seconds") {
			if age := time.Since(time.UnixMilli(int64(1000 * v))); age < 0 || age > time.Minute {
				t.Errorf("%s is %v ago", name, age)
			}
			v = 1
		}
		if name == "synshard_duration_seconds" {
			if v < 0 || v > 60 {
				t.Errorf("it took %v s", v)
			}
			v = 1
		}
		out[name] = v
	}
	return out
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nightly.prom")
	options := Options{Path: path, Verb: "infer", Every: time.Millisecond, OnBad: func(err error) { t.Error(err) }}
	call := func(during func(f *File), code int) map[string]float64 {
		t.Helper()
		f, err := Begin(options)
		if err != nil {
			t.Fatal(err)
		}
		during(f)
		f.End(code)
		f.End(1) // comes after the end
		return read(t, path)
	}
	bad := map[string]float64{"synshard_running": 0, "synshard_exit_code": 4, "synshard_start_timestamp_seconds": 1, "synshard_duration_seconds": 1}
	if d := cmp.Diff(bad, call(func(*File) {}, 4)); d != "" {
		t.Errorf("a first call that failed (-want +got):\n%s", d)
	}
	good := map[string]float64{"synshard_running": 0, "synshard_exit_code": 3, "synshard_start_timestamp_seconds": 1, "synshard_duration_seconds": 1,
		"synshard_last_success_timestamp_seconds": 1, "synshard_images": 12, "synshard_rejected_images": 2, "synshard_bytes": 1e12}
	during := map[string]float64{"synshard_running": 1, "synshard_start_timestamp_seconds": 1, "synshard_duration_seconds": 1, "synshard_images": 12}
	got := call(func(f *File) {
		f.Images.Set(12)
		until(t, func() bool { return read(t, path)["synshard_images"] == 12 })
		if d := cmp.Diff(during, read(t, path)); d != "" {
			t.Errorf("a call that works (-want +got):\n%s", d)
		}
		f.Rejected.Set(2)
		f.Bytes.Set(1e12)
	}, 3)
	if d := cmp.Diff(good, got); d != "" {
		t.Errorf("a call that did its work (-want +got):\n%s", d)
	}
	bad["synshard_last_success_timestamp_seconds"] = 1
	if d := cmp.Diff(bad, call(func(*File) {}, 4)); d != "" {
		t.Errorf("a call that failed after one that did not (-want +got):\n%s", d)
	}
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for range 5000 {
		if holds() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it never held")
}

func TestFileOfOthersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.prom")
	if err := os.WriteFile(path, []byte("a list\nof mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(Options{Path: path, Every: time.Hour}); err == nil || !strings.Contains(err.Error(), "is no file of metrics") {
		t.Errorf("%v", err)
	}
}

// A file whose directory goes is told once, and ends nothing.
func TestFileThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 100)
	f, err := Begin(Options{Path: filepath.Join(dir, "x.prom"), Every: time.Millisecond, OnBad: func(err error) { told <- err }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+" moved"); err != nil {
		t.Fatal(err)
	}
	<-told
	f.End(0)
	if len(told) > 0 {
		t.Errorf("told again: %v", <-told)
	}
	var none File
	none.Images.Set(1)
	none.Images.Add(1)
	none.End(0)
}

// TestNameIsNoText: a file's name may be any bytes, and labels are UTF-8.
func TestNameIsNoText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a\xffb.prom")
	f, err := Begin(Options{Path: path, Verb: "ls", Every: time.Hour, OnBad: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	f.End(0)
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "task=\"a\uFFFDb\"") {
		t.Errorf("%v in\n%s", err, text)
	}
}
