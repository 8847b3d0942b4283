package recipe

import (
	"slices"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	r, err := Resolve("gluon", Layer{"my.yaml", []byte("augment: {sizes: [160, 192@3, 299@5]}")})
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for epoch := range 7 {
		got = append(got, r.TrainSize(epoch))
	}
	if want := []int{160, 160, 160, 192, 192, 299, 299}; !slices.Equal(got, want) || r.LargestTrainSize() != 299 {
		t.Errorf("sizes %v, want %v; the largest %d", got, want, r.LargestTrainSize())
	}
	text, err := r.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Parse(text); err != nil || !slices.Equal(back.Augment.Sizes, r.Augment.Sizes) {
		t.Errorf("read back: %v, %v\n%s", back.Augment.Sizes, err, text)
	}
	rows, err := r.Table()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(rows, [2]string{"augment.sizes", "[160 192@3 299@5]"}) {
		t.Errorf("the table has %v", rows)
	}
	if r, err = Resolve("gluon"); err != nil || r.TrainSize(7) != 299 || r.LargestTrainSize() != 299 {
		t.Errorf("without sizes: %d, %v", r.TrainSize(7), err)
	}
}

func TestBadSizes(t *testing.T) {
	for text, want := range map[string]string{
		"[192@3]":             "begins at epoch 3",
		"[160, 192@3, 224@3]": "epoch 3 after 3",
		"[0]":                 "0 pixels",
		"[160, 5000@2]":       "5000 pixels",
		"[160, 192at3]":       "SIZE@EPOCH",
		"[160, 192@]":         "SIZE@EPOCH",
		"[{size: 160}]":       "my.yaml",
	} {
		if _, err := Resolve("gluon", Layer{"my.yaml", []byte("augment: {sizes: " + text + "}")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	of := func(text string) error {
		r, err := Resolve("gluon", Layer{"my.yaml", []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = r.Build([]string{"a", "b"})
		return err
	}
	if err := of("augment: {sizes: [75]}"); err != nil {
		t.Error(err)
	}
	if err := of("augment: {sizes: [74]}"); err == nil || !strings.Contains(err.Error(), "images of 74 pixels") || strings.Contains(err.Error(), "aux") {
		t.Errorf("74 pixels: %v", err)
	}
	if err := of("augment: {sizes: [75]}\nloss: {aux_weight: 0.4}"); err == nil || !strings.Contains(err.Error(), "loss.aux_weight 0") {
		t.Errorf("with an auxiliary head: %v", err)
	}
}
