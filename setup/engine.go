package setup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/regular"
)

// PrebuiltName is the file name of an engine that was built beforehand against
// a pinned libtorch; kind is cpu or cuda. Such an engine looks for libtorch
// where set-up puts it: in the directory above its own.
func PrebuiltName(version, kind string) string {
	return fmt.Sprintf("libsynshard_torch-%s-%s.so", version, kind)
}

// PrebuiltPlace is what build.sh's --rpath is given for such an engine.
func PrebuiltPlace(version, kind string) string { return "$ORIGIN/../torch-" + version + "-" + kind }

const (
	mostEngine = 1 << 30 // bytes of its library
	mostStamp  = 1 << 10
)

// engine puts the training engine's library into Lib: one that was built
// beforehand for the pinned libtorch, else one that is built here.
func (r run) engine(ctx context.Context, t torch) (Done, error) {
	d := Done{Part: Engine, Version: "for libtorch " + t.Version, Path: filepath.Join(r.Lib, native.ShimName)}
	if from := r.prebuilt(t); from != "" {
		return r.copyEngine(d, from)
	}
	stamp, err := r.stamp(ctx, t)
	if err != nil {
		return d, err
	}
	stampPath := filepath.Join(r.Lib, "shim.stamp")
	if was, err := regular.ReadFile(stampPath, mostStamp); err == nil && string(was) == stampOf(stamp, d.Path) {
		r.Say(Engine, d.Path+" is up to date")
		return d, nil
	}
	r.Say(Engine, "building "+d.Path+" against "+t.dir)
	began := time.Now()
	if err := r.build(ctx, t, d.Path); err != nil {
		return d, err
	}
	r.Say(Engine, fmt.Sprintf("built in %.0f s", time.Since(began).Seconds()))
	d.Brought = true
	return d, write(stampPath, []byte(stampOf(stamp, d.Path)))
}

// stampOf is what stands beside a library: what it was built from, and its sum.
func stampOf(stamp, library string) string {
	sum, err := regular.SHA256(library)
	if err != nil {
		sum = "none" // as no stamp says
	}
	return stamp + " " + sum + "\n"
}

// prebuilt is the path of an engine that was built beforehand and fits, "" if
// there is none. It finds libtorch from the cache's lib/ alone.
func (r run) prebuilt(t torch) string {
	if !t.pinned || filepath.Clean(r.Lib) != filepath.Join(r.Cache, "lib") {
		return ""
	}
	for _, dir := range r.Prebuilt {
		path := filepath.Join(dir, PrebuiltName(t.Version, r.kind()))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// copyEngine puts an engine that was built beforehand into its place, if it is
// not there.
func (r run) copyEngine(d Done, from string) (Done, error) {
	b, err := regular.ReadFile(from, mostEngine)
	if err != nil {
		return d, err
	}
	if was, err := regular.ReadFile(d.Path, mostEngine); err == nil && bytes.Equal(was, b) {
		r.Say(Engine, d.Path+" is up to date")
		return d, nil
	}
	r.Say(Engine, d.Path+" is "+from)
	d.Brought = true
	return d, write(d.Path, b)
}

func write(path string, b []byte) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// stamp tells apart what engines are built from: libtorch, compiler, source.
func (r run) stamp(ctx context.Context, t torch) (string, error) {
	version, err := exec.CommandContext(ctx, r.Compiler, "--version").Output()
	if err != nil {
		return "", unfit("no engine was built beforehand for libtorch %s (%s), and there is no C++ compiler to build one (%w); install g++",
			t.Version, r.kind(), err)
	}
	h := sha256.New()
	fmt.Fprintln(h, t.dir, t.Version, string(version))
	err = eachSource(r.Source, func(path string, text []byte) error {
		_, err := fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

func eachSource(source fs.FS, visit func(path string, text []byte) error) error {
	return fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		return visit(path, text)
	})
}

// build builds the engine's library against t.
func (r run) build(ctx context.Context, t torch, out string) error {
	work, err := os.MkdirTemp(r.Cache, "engine.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	err = eachSource(r.Source, func(path string, text []byte) error {
		to := filepath.Join(work, filepath.FromSlash(path))
		if err := durable.MkdirAll(filepath.Dir(to)); err != nil {
			return err
		}
		return write(to, text)
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(work, "build.sh"), "--torch", t.dir, "--out", out)
	cmd.Env = append(os.Environ(), "CXX="+r.Compiler)
	runtime.LockOSThread() // whose end would be taken for ours
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // the compilers end with it, and it with us
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("building it against %s: %w:\n%s", t.dir, err, bytes.TrimSpace(text))
	}
	return nil
}
