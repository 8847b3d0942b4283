package naming

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source"
)

// TestNames holds what single names are taken for.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"train": "train train", "Validation": "val val", "dev": "val val", "TEST": "test test",
		"imagenet21k_train": "- train", "train.X1": "- train", "val.X": "- val", "train2017": "- train", "images-test": "- test", "train_images_0": "- train",
		"imagenetv2-matched-frequency-format-val": "- val", "ILSVRC2012_img_val": "- val",
		"bullet-train": "- train?", "seg_test": "- test?",
		"trainer": "- -", "test_tube": "- -", "evaluation": "- -", "testament": "- -", "": "- -",
	} {
		exact := SplitWord(name)
		like, sure := LikeSplit(name)
		if like != "" && !sure {
			like += "?"
		}
		if got := dash(exact) + " " + dash(like); got != want {
			t.Errorf("directory %q: %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"train-00000-of-00005.parquet": "train", "data/validation-0.parquet": "val", "ILSVRC2012_img_test_v10102019.tar": "test",
		"imagenet-train-val.tar": "", "shard-000.tar": "", "constrain.tar": "", "val_images.tar.gz": "val",
	} {
		if got := FileSplit(name); got != want {
			t.Errorf("file %q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"n01440764": "n01440764", "n02085620-Chihuahua": "n02085620", "n01440764_tench": "n01440764", "n01440764 tench": "n01440764",
		"n0144076": "", "n014407644": "", "n01440764_12": "", "N01440764": "", "tench": "",
	} {
		got, ok := Synset(name)
		if diff := cmp.Diff([]any{want, want != ""}, []any{got, ok}); diff != "" {
			t.Errorf("directory %q: synset, found (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range map[string][2]string{
		"n01440764_10026.JPEG":                     {"n01440764", ""},
		"n01440764_10026_n01440764.JPEG":           {"n01440764", ""},
		"a/ILSVRC2012_val_00000001_n01751748.JPEG": {"n01751748", "val"},
		"ILSVRC2012_test_00000001.JPEG":            {"", "test"},
		"ILSVRC2012_val_00000001.JPEG":             {"", "val"},
		"ILSVRC_val.JPEG":                          {"", ""},
		"n01440764.JPEG":                           {"", ""},
		"tench_n014407.JPEG":                       {"", ""},
	} {
		if got := [2]string{SynsetIn(name), ILSVRCSplit(name)}; got != want {
			t.Errorf("image %q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"a.tar": "a", "a.TAR.GZ": "a", "a.tbz2": "a", ".tar": ".tar", "a.star": "a.star", "a": "a"} {
		if got := WithoutArchiveEnd(name); got != want {
			t.Errorf("archive %q: %q, want %q", name, got, want)
		}
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

const (
	hiddenReason = "a hidden image, or an image in a hidden folder"
	nearly       = "an image by its name, with an ending that is none of an image's"
)

// TestFiles holds the answers to source's, whatever was asked before.
func TestFiles(t *testing.T) {
	var f Files
	for range 2 {
		for name, want := range map[string]string{
			"a/b.jpg": "", "b.JPEG": "", "a.b.webp": "", ".hidden/b.jpg": hiddenReason, "a/.b.jpg": hiddenReason, ".git/b.jpg": source.JunkReason, ".hidden/b.txt": source.JunkReason, ".a/__MACOSX/b.jpg": source.JunkReason, "a/._b.jpg": source.JunkReason, "__MACOSX/a/b.jpg": source.JunkReason,
			"a/Thumbs.db": source.JunkReason, "a/b": NotAnImage, "a/b.txt": NotAnImage, "a/b.avif": "avif images are not decoded",
			"a/b.tar.gz": "an archive that is not read where it is: unpack it", "b.rar": "an archive that is not read where it is: unpack it",
		} {
			reason, _, out := f.LeftOut(name)
			type answer struct {
				Reason     string
				Out, Image bool
			}
			if d := cmp.Diff(answer{want, want != "", want == ""}, answer{reason, out, f.Image(name)}); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
			if junk := reason == source.JunkReason || reason == hiddenReason; junk != source.Junk(name) {
				t.Errorf("%s: junk %v, and package source says otherwise", name, junk)
			}
		}
	}
}
