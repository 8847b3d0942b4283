package listing

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFind holds where the names of a list start from.
func TestFind(t *testing.T) {
	for what, c := range map[string]struct {
		images, names []string
		dir, split    string
		want          []string // the images; "": none
		doubt         []string
	}{
		"from the root":       {[]string{"a/1.jpg", "b/2.jpg"}, []string{"b/2.jpg", "a/1.jpg"}, "", "", []string{"b/2.jpg", "a/1.jpg"}, nil},
		"from its own":        {[]string{"a/1.jpg", "1.jpg"}, []string{"1.jpg"}, "a", "", []string{"a/1.jpg"}, nil},
		"from the images'":    {[]string{"images/a/1.jpg", "images/b/2.jpg"}, []string{"a/1", "b/2"}, "meta", "", []string{"images/a/1.jpg", "images/b/2.jpg"}, nil},
		"called after it":     {[]string{"train/1.jpg", "val/1.jpg"}, []string{"1.jpg"}, "", "val", []string{"val/1.jpg"}, nil},
		"in doubt":            {[]string{"front/1.jpg", "back/1.jpg"}, []string{"1.jpg"}, "", "", []string{""}, []string{"back", "front"}},
		"another machine's":   {[]string{"a/1.jpg"}, []string{"/home/me/data/a/1.jpg"}, "", "", []string{"a/1.jpg"}, nil},
		"Windows'":            {[]string{"a/1.jpg"}, []string{`D:\data\a\1.jpg`}, "", "", []string{"a/1.jpg"}, nil},
		"another directory's": {[]string{"a/1.jpg"}, []string{"b/1.jpg"}, "", "", []string{""}, nil},
		"flat, another's":     {[]string{"1.jpg"}, []string{"/home/me/1.jpg"}, "", "", []string{"1.jpg"}, nil},
		"dots":                {[]string{"a/1.jpg"}, []string{"./a//1.jpg"}, "", "", []string{"a/1.jpg"}, nil},
		"anywhere":            {[]string{"p1/1.jpg", "p2/2.jpg"}, []string{"2", "1.jpg"}, "", "", []string{"p2/2.jpg", "p1/1.jpg"}, nil},
		"some are missing":    {[]string{"a/1.jpg", "a/2.jpg"}, []string{"a/1.jpg", "a/3.jpg", "a/2.jpg"}, "", "", []string{"a/1.jpg", "", "a/2.jpg"}, nil},
		"two endings":         {[]string{"a/1.jpg", "a/1.png"}, []string{"a/1.png", "a/1"}, "", "", []string{"a/1.png", ""}, nil},
		"names of none":       {[]string{"a/1.jpg"}, []string{"b/2.jpg", ""}, "", "", []string{"", ""}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			f := NewImages(c.images).Find(c.names, c.dir, c.split)
			got := make([]string, len(f.Images))
			missing := 0
			for i, at := range f.Images {
				if at >= 0 {
					got[i] = c.images[at]
				} else {
					missing++
				}
			}
			if diff := cmp.Diff([]any{c.want, missing}, []any{got, f.Missing}); diff != "" {
				t.Errorf("images, missing (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.doubt, f.Doubt); diff != "" {
				t.Errorf("doubt (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJoin(t *testing.T) {
	x := NewImages([]string{"images/a/1.jpg", "images/b/2.jpg"})
	const list = "1 a/1.jpg\n2 b/2.jpg\n"
	for beside, want := range map[string]string{
		"1 1\n2 0\n": "", "1 1\n": "", "1 1\n3 0\n": "no image has this number", "1 2\n2 0\n": "it says nothing", "a b\n": "want a number and a value", "": "nothing in it",
	} {
		_, err := Join("images.txt", "", []byte(list), map[string][]byte{"train_test_split.txt": []byte(beside)}, x)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", beside, err, want)
		}
	}
	if _, err := Join("images.txt", "", []byte("1 a/1.jpg\n1 b/2.jpg\n"), nil, x); err == nil {
		t.Error("a number that is there twice is taken")
	}
	if _, err := Join("images.txt", "", []byte("1 c/1.jpg\n"), nil, x); !errors.Is(err, ErrNoList) {
		t.Errorf("a list of other images: %v", err)
	}
}

// TestMay holds which files are asked.
func TestMay(t *testing.T) {
	for name, want := range map[string]bool{
		"train.txt": true, "meta/test.txt": true, "TrainImages.txt": true, "labels.csv": true, "x.lst": true, "testing_list.txt": true, "labels.txt": true, "anything.jsonl": true,
		"README.txt": false, "classes.txt": false, "sample_submission.csv": false, "ImageSets/CLS-LOC/val.txt": false, "ImageSets/Main/val.txt": true, "n01440764_boxes.txt": false, "cat_train.txt": false, "train.mat": false, "a.jpg": false,
	} {
		if got := May(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// FuzzRead reads lists of any text: every image that it gives is there, and is the same
// one in whatever order the images are listed.
func FuzzRead(f *testing.F) {
	f.Add("train.txt", []byte("a/1\nb/2\n"))
	f.Add("val.txt", []byte("1.jpg 0\n2.jpg 1\n"))
	f.Add("x.lst", []byte("0\t1.000000\ta/1.jpg\n1\t0\tb/2.jpg\n"))
	f.Add("labels.csv", []byte("id,breed\n1,pug\n2,collie\n"))
	f.Add("images.txt", []byte("1 a/1.jpg\n2 b/2.jpg\n"))
	f.Add("x.jsonl", []byte(`{"image":"1.jpg","meta":{"label":"a"}}`))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		paths := []string{"images/a/1.jpg", "images/b/2.jpg", "images/b/2.png", "1.jpg", "x y.jpg"}
		x := NewImages(paths)
		l, err := Read(name, "meta", b, x)
		if err == nil {
			held(t, l, len(x.paths))
		}
		turned := slices.Clone(paths)
		slices.Reverse(turned)
		y := NewImages(turned)
		l2, err2 := Read(name, "meta", b, y)
		if diff := cmp.Diff(images(l, x), images(l2, y)); diff != "" || (err == nil) != (err2 == nil) {
			t.Errorf("%v, and %v with the images in another order:\n%s", err, err2, diff)
		}
		if l, err := Join(name, "", b, map[string][]byte{"train_test_split.txt": b, "image_class_labels.txt": b}, x); err == nil {
			held(t, l, len(x.paths))
		}
	})
}

// images are the paths that a list leads to.
func images(l *List, x *Images) []string {
	var out []string
	if l == nil {
		return nil
	}
	for _, at := range l.Images {
		if at >= 0 {
			out = append(out, x.paths[at])
		} else {
			out = append(out, "")
		}
	}
	return out
}

func held(t *testing.T, l *List, images int) {
	t.Helper()
	missing := 0
	for _, at := range l.Images {
		if at < 0 {
			missing++
		}
		if int(at) >= images {
			t.Fatalf("image %d of %d", at, images)
		}
	}
	if diff := cmp.Diff([]int{missing, len(l.Paths)}, []int{l.Missing, len(l.Images)}); diff != "" {
		t.Fatalf("names that lead to none, names (-want +got):\n%s", diff)
	}
	for _, c := range l.Columns {
		if len(c.Rows) != len(l.Paths) {
			t.Fatalf("column %s: %d rows for %d paths", c.Name, len(c.Rows), len(l.Paths))
		}
	}
}
