package checkpoint

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
)

func TestDifferences(t *testing.T) {
	was := Identity{"seed": "1", "clip.norm": "2", "index": strings.Repeat("0a", 32), "exclude": ""}
	for _, c := range []struct {
		name string
		now  Identity
		want []string
	}{
		{"the same", Identity{"seed": "1", "clip.norm": "2", "index": strings.Repeat("0a", 32), "synset": ""}, nil},
		{"one value", Identity{"seed": "2", "clip.norm": "2", "index": strings.Repeat("0a", 32)}, []string{"seed 1 (now 2)"}},
		{"all", Identity{"index": strings.Repeat("1b", 32), "synset": "dog"}, []string{
			"clip.norm 2 (now not set)", "index 0a0a0a0a0a0a... (now 1b1b1b1b1b1b...)", "seed 1 (now not set)", "synset not set (now dog)",
		}},
	} {
		if diff := cmp.Diff(c.want, was.differences(c.now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestSameRun(t *testing.T) {
	classes := []string{"n01440764", "n01443537"}
	base := Position{Model: "resnet50", Width: 1, Classes: "2:ab", Rows: 10, Seed: 3, Batch: 4, Optimizer: "sgd", MadeFrom: Identity{"seed": "3"}}
	for _, c := range []struct {
		name    string
		change  func(*Position)
		classes []string
		want    string // "": the same
	}{
		{"itself", func(*Position) {}, classes, ""},
		{"further on", func(p *Position) { p.Step, p.Epoch, p.Microbatches = 5, 2, 4 }, classes, ""},
		{"another value", func(p *Position) { p.MadeFrom = Identity{"seed": "4"} }, classes, "seed 3 (now 4)"},
		{"fewer images", func(p *Position) { p.Rows = 9 }, classes, "training images 10 (now 9)"},
		{"another class", func(p *Position) { p.Classes = "2:cd" }, []string{"n01440764", "n01484850"}, "classes with n01443537 as number 1 (now n01484850)"},
		{"more classes", func(p *Position) { p.Classes = "3:cd" }, append(classes, "n01484850"), "classes 2 (now 3)"},
	} {
		now := base
		c.change(&now)
		err := SameRun(base, now, classes, c.classes)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	earlier := base
	earlier.MadeFrom = nil
	for name, change := range map[string]func(*Position){
		"model": func(p *Position) { p.Model = "alexnet" }, "width": func(p *Position) { p.Width = 2 }, "seed": func(p *Position) { p.Seed = 4 },
		"batch": func(p *Position) { p.Batch = 8 }, "optimizer": func(p *Position) { p.Optimizer = "adamw" },
	} {
		now := base
		change(&now)
		if err := SameRun(earlier, now, classes, classes); err == nil || !strings.Contains(err.Error(), name+" ") {
			t.Errorf("a checkpoint of an earlier version with another %s: %v", name, err)
		}
	}
	if err := SameRun(earlier, base, classes, classes); err != nil {
		t.Errorf("a checkpoint of an earlier version: %v", err)
	}
}

func TestWeightsSum(t *testing.T) {
	a := []model.Tensor{model.NewTensor("a", []int{2}, []float32{1, 2}), model.NewTensor("b", []int{1}, []float32{3})}
	swapped := []model.Tensor{a[1], a[0]}
	if diff := cmp.Diff(WeightsSum(a), WeightsSum(swapped)); diff != "" {
		t.Errorf("the sum depends on the order (-want +got):\n%s", diff)
	}
	if len(WeightsSum(a)) != 64 {
		t.Errorf("%q is no sum", WeightsSum(a))
	}
	for name, other := range map[string][]model.Tensor{
		"value": {model.NewTensor("a", []int{2}, []float32{1, 2.5}), a[1]},
		"shape": {model.NewTensor("a", []int{2, 1}, []float32{1, 2}), a[1]},
		"name":  {model.NewTensor("c", []int{2}, []float32{1, 2}), a[1]},
		"fewer": slices.Clone(a[:1]),
	} {
		if WeightsSum(a) == WeightsSum(other) {
			t.Errorf("another %s has the same sum", name)
		}
	}
}
