package pth

import (
	"errors"
	"strings"
	"testing"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights/pickle"
)

// TestHostilePickles: values that hold themselves, or are nested without end,
// and files that unfold to more than is there.
func TestHostilePickles(t *testing.T) {
	deep := "\x80\x02" + strings.Repeat("}X\x0a\x00\x00\x00state_dict", 100_000) + "}" + strings.Repeat("s", 100_000) + "."
	for name, text := range map[string]string{
		"a dictionary in itself":      "\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.",
		"a tuple of itself":           "\x80\x02]q\x00(h\x00h\x00ta.",
		"a tensor of a loop":          "\x80\x02]q\x00h\x00actorch._utils\n_rebuild_tensor_v2\n(h\x00h\x00h\x00h\x00tR.",
		"nested 100,000 deep":         deep,
		"an object in itself":         "\x80\x02cm\nC\n)\x81q\x00}X\x08\x00\x00\x00_modulesh\x00sb.",
		"a rebuild that names itself": "\x80\x02ctorch._tensor\n_rebuild_from_type_v2\nq\x00(h\x00h\x00(h\x00h\x00)ttR.",
	} {
		v, err := pickle.NewReader([]byte(text)).Read()
		if err != nil {
			if !errors.Is(err, model.ErrFormat) || len(err.Error()) > 300 {
				t.Errorf("%s: %.300v", name, err)
			}
			continue
		}
		if _, _, err := choose(v, "", false); !errors.Is(err, model.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzChoose holds the unpickler and the search in its values to ending, and
// to errors of one kind.
func FuzzChoose(f *testing.F) {
	f.Add([]byte("\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s."))
	f.Add([]byte("(dp0\nS'a'\np1\nI1\ns."))
	f.Add([]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8f\x94(K\x01\x90."))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := pickle.NewReader(b).Read()
		if err != nil {
			if !errors.Is(err, model.ErrFormat) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		choose(v, "", false)
		choose(v, "", true)
		choose(v, "a.b", false)
	})
}
