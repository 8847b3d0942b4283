package onnx

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// outside makes a tensor whose data lie in the file of that name.
func outside(name, location string) *onnxpb.Tensor {
	t := tensor(name, onnxpb.Tensor_FLOAT, []int{2}, nil)
	t.Location = onnxpb.Tensor_EXTERNAL.Enum()
	t.External = []*onnxpb.Entry{{Key: proto.String("location"), Value: proto.String(location)}}
	return t
}

// everywhere is a model with external data in an initializer, in a node's
// constant, in a graph within a node, and in a function.
func everywhere() *Model {
	m := holding(outside("w", "weights/a.bin"), outside("v", "weights/a.bin"))
	constant := Node("Constant", "k", nil, "k", &onnxpb.Attribute{Name: proto.String("value"), Tensor: outside("", "b.bin")})
	branch := Node("If", "i", []string{"x"}, "z", &onnxpb.Attribute{Name: proto.String("then_branch"), Graph: &onnxpb.Graph{Initializers: []*onnxpb.Tensor{outside("u", "c.bin")}}})
	m.pb.Graph.Nodes = append(m.pb.Graph.Nodes, constant, branch)
	m.pb.Functions = []*onnxpb.Function{{Nodes: []*onnxpb.Node{Node("Constant", "k", nil, "k", &onnxpb.Attribute{Name: proto.String("value"), Tensor: outside("", "d.bin")})}}}
	return m
}

func TestFilesAndIdentity(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "weights"), 0o777); err != nil {
		t.Fatal(err)
	}
	beside := []string{"b.bin", "c.bin", "d.bin", "weights/a.bin"}
	for _, name := range beside {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("data of "+name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	path := write(t, dir, "model.onnx", everywhere())
	want := []string{path}
	for _, name := range beside {
		want = append(want, filepath.Join(dir, name))
	}
	got, err := filesOf(path)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	first, err := identityOf(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range beside {
		changed := filepath.Join(dir, name)
		if err := os.WriteFile(changed, []byte("other data"), 0o666); err != nil {
			t.Fatal(err)
		}
		if second, err := identityOf(path); err != nil || second == first {
			t.Errorf("%s is changed and the model is the same, %v", name, err)
		}
		if err := os.WriteFile(changed, []byte("data of "+name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := identityOf(path); again != first || err != nil {
		t.Errorf("everything as before: %s, then %s, %v", first, again, err)
	}
	if err := os.Remove(filepath.Join(dir, "c.bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := identityOf(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestIdentityKnowsChanges: whoever opens the files after they were summed learns that they are
// others, and whoever has them open that they were written to.
func TestIdentityKnowsChanges(t *testing.T) {
	later := time.Now().Add(time.Hour) // than any tick of a clock
	for what, c := range map[string]struct {
		change             func(path string) error
		unchanged, written bool
	}{
		"nothing":           {func(string) error { return nil }, true, false},
		"written to":        {func(path string) error { return os.WriteFile(path, []byte("other data"), 0o666) }, false, true},
		"the same, touched": {func(path string) error { return os.Chtimes(path, later, later) }, false, true},
		"removed":           {os.Remove, false, false},
		"replaced": {func(path string) error {
			return errors.Join(os.WriteFile(path+"-new", []byte("other data"), 0o666), os.Rename(path+"-new", path))
		}, false, false},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "a.bin")
			if err := os.WriteFile(data, make([]byte, 8), 0o666); err != nil {
				t.Fatal(err)
			}
			_, identity, err := Load(write(t, dir, "model.onnx", holding(outside("w", "a.bin"))))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.change(data); err != nil {
				t.Fatal(err)
			}
			if err := identity.Unchanged(); (err == nil) != c.unchanged {
				t.Errorf("unchanged: %v", err)
			}
			if err := identity.NotWritten(); (err != nil) != c.written {
				t.Errorf("not written to: %v", err)
			}
		})
	}
}

// TestIdentityOfOneFile is what sha256sum prints, which older runs recorded.
func TestIdentityOfOneFile(t *testing.T) {
	path := write(t, t.TempDir(), "model.onnx", holding(tensor("w", onnxpb.Tensor_FLOAT, []int{1}, FloatBytes([]float32{1}))))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := identityOf(path); err != nil || got != fmt.Sprintf("%x", sha256.Sum256(b)) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestFilesThatEscape(t *testing.T) {
	for _, location := range []string{"", ".", "../a.bin", "x/../../a.bin", "/etc/passwd", `..\a.bin`, "x/../.."} {
		path := write(t, t.TempDir(), "model.onnx", holding(outside("w", location)))
		if files, err := filesOf(path); !errors.Is(err, model.ErrFormat) {
			t.Errorf("%q: %v, %v", location, files, err)
		}
		if _, err := identityOf(path); !errors.Is(err, model.ErrFormat) {
			t.Errorf("%q: an identity, %v", location, err)
		}
	}
}

// filesOf lists the files that make up the model at path: the file itself, and
// those that hold its external data, in the order of their names.
func filesOf(path string) ([]string, error) {
	m, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	beside, err := m.external()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return append([]string{path}, beside...), nil
}

// identityOf is the sha256, in hex, of all that a model consists of: of the file
// at path where it holds everything, as sha256sum gives it; else of that sum
// and of the name and sum of each file of external data. A file of those that
// is missing, or lies outside the model's directory, is an error.
func identityOf(path string) (string, error) {
	_, identity, err := Load(path)
	return identity.Sum, err
}
