package checkpoint

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// Identity is what a run is made from, value by name: the recipe, the data, the
// first weights. Going on from a checkpoint with another would be another run.
// A name that is not there stands for "not set".
type Identity map[string]string

// JSON is the identity as a text, the same for the same one; "" where there is none.
func (i Identity) JSON() string {
	if len(i) == 0 {
		return ""
	}
	b, err := json.Marshal(i)
	if err != nil {
		panic(err) // of texts alone
	}
	return string(b)
}

// differences names what is not the same in now, each as "NAME OLD (now NEW)",
// by name. Long digests are cut short.
func (i Identity) differences(now Identity) []string {
	names := map[string]bool{}
	for _, id := range []Identity{i, now} {
		for name := range id {
			names[name] = true
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if i[name] != now[name] {
			out = append(out, difference(name, i.show(name), now.show(name)))
		}
	}
	return out
}

func difference(name string, was, now any) string {
	return fmt.Sprintf("%s %v (now %v)", name, was, now)
}

func (i Identity) show(name string) string {
	value, ok := i[name]
	switch {
	case !ok || value == "":
		return "not set"
	case len(value) == 64 && strings.Trim(value, "0123456789abcdef") == "":
		return value[:12] + "..."
	}
	return value
}

// WeightsSum is the SHA-256 of tensors' names, shapes and values, in hexadecimal
// and independent of their order.
func WeightsSum(tensors []model.Tensor) string {
	order := slices.Clone(tensors)
	slices.SortFunc(order, func(a, b model.Tensor) int { return strings.Compare(a.Name, b.Name) })
	sum := sha256.New()
	for _, t := range order {
		fmt.Fprintf(sum, "%q %s %v\n", t.Name, t.DType, t.Shape)
		sum.Write(t.Data)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// SameRun is an error that names what differs between where a run stood and what
// is asked for now, with the classes of each, where going on would not be the
// same run. Checkpoints of earlier versions hold no Identity: of those the few
// values are compared that they do hold.
func SameRun(have, want Position, haveClasses, wantClasses []string) error {
	var diff []string
	add := func(name string, was, now any) {
		if was != now {
			diff = append(diff, difference(name, was, now))
		}
	}
	if was, now := classDifference(haveClasses, wantClasses); was != now {
		diff = append(diff, difference("classes", was, now))
	} else if have.Classes != want.Classes {
		diff = append(diff, difference("classes", have.Classes, want.Classes))
	}
	add("training images", have.Rows, want.Rows)
	if have.MadeFrom != nil {
		diff = append(diff, have.MadeFrom.differences(want.MadeFrom)...)
	} else {
		add("model", have.Model, want.Model)
		add("width", have.Width, want.Width)
		add("seed", have.Seed, want.Seed)
		add("batch", have.Batch, want.Batch)
		add("optimizer", have.Optimizer, want.Optimizer)
	}
	if len(diff) > 0 {
		return errors.New(strings.Join(diff, ", "))
	}
	return nil
}

// classDifference gives how many classes there are on either side or, if as many,
// the first that is another; the same twice if none is.
func classDifference(have, want []string) (was, now string) {
	if len(have) != len(want) {
		return fmt.Sprint(len(have)), fmt.Sprint(len(want))
	}
	for i := range have {
		if have[i] != want[i] {
			return fmt.Sprintf("with %s as number %d", have[i], i), want[i]
		}
	}
	return "", ""
}
