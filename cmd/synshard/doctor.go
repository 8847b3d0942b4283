package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/openvino"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/train/torch"
)

// finding is one thing doctor looked at.
type finding struct {
	Part    string `json:"part"`
	OK      bool   `json:"ok"`
	Version string `json:"version,omitempty"`
	Path    string `json:"path,omitempty"`
	What    string `json:"what"`           // version and place in a line, or what is wrong
	Mend    string `json:"mend,omitempty"` // the command that mends it
}

// doctorOptions are doctor's flags.
type doctorOptions struct{ torchLib, ortLib, openVINOLib, wordnet string }

// AddFlags adds them to the verb.
func (o *doctorOptions) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.torchLib, "torch-lib", "", "the training engine's library (default: where set-up puts it)")
	cmd.Flags().StringVar(&o.ortLib, "ort-lib", "", "ONNX Runtime's library (default: where set-up puts it)")
	cmd.Flags().StringVar(&o.openVINOLib, "openvino-lib", "", "OpenVINO's C library (default: where set-up puts it)")
	wordnetVar(cmd, &o.wordnet)
}

func newDoctorCmd(a *app) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what is installed and say what is missing",
		Long: `Looks for WordNet, libjpeg-turbo, the training engine and ONNX Runtime where the
other verbs look, opens them, and prints versions, places and devices; for what
is missing, the command that mends it. Exit 6 if something is missing; OpenVINO, which
nothing needs, is not missed.`,
		Example: "  synshard doctor\n  synshard doctor --json --torch-lib /opt/engine/libsynshard_torch.so",
		Args:    exactly(0, 0, "no arguments"),
		RunE:    func(*cobra.Command, []string) error { return a.runDoctor(o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runDoctor(o doctorOptions) error {
	list := []finding{a.doctorSelf(), a.doctorMachine(), a.doctorJPEG(), a.doctorWordNet(o.wordnet), a.doctorTorch(o.torchLib), a.doctorORT(o.ortLib), a.doctorOpenVINO(o.openVINOLib)}
	if err := a.printFindings(list); err != nil {
		return err
	}
	var missing []string
	for _, f := range list {
		if !f.OK {
			missing = append(missing, f.Part)
		}
	}
	if len(missing) > 0 {
		return withCode(exitNative, fmt.Errorf("missing or unfit: %s", strings.Join(missing, ", ")))
	}
	return nil
}

func (a *app) printFindings(list []finding) error {
	return a.Result(map[string]any{"parts": list}, func(w io.Writer) {
		t := ui.NewTable(w)
		for _, f := range list {
			state := "ok"
			if !f.OK {
				state = "MISSING"
			}
			t.Row(state, f.Part, f.What)
			if f.Mend != "" {
				t.Row("", "", "to mend: "+f.Mend)
			}
		}
		t.Flush() // into a bufio.Writer, which keeps the error
	})
}

func (a *app) doctorSelf() finding {
	return finding{Part: "synshard", OK: true, Version: buildVersion(), What: fmt.Sprintf("%s, %s, %s/%s", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)}
}

func (a *app) doctorMachine() finding {
	model := cmp.Or(processors.Name(), "unknown processor")
	return finding{Part: "machine", OK: true, What: fmt.Sprintf("%s, %d CPUs to use", model, processors.Count())}
}

func (a *app) doctorJPEG() finding {
	b, err := pixel.EncodeJPEG(8, 8, make([]byte, 8*8*3), 90)
	if err == nil {
		d := pixel.NewDecoder()
		defer d.Close()
		_, err = d.Decode(b)
	}
	if err != nil {
		return finding{Part: "JPEG", What: err.Error(), Mend: "build synshard again with libjpeg-turbo's development package"}
	}
	return finding{Part: "JPEG", OK: true, What: "libjpeg-turbo, linked in"}
}

// missing is the finding for an error; the mend after its last semicolon
// stands by itself.
func missing(part string, err error, mend string) finding {
	return finding{Part: part, What: strings.TrimSuffix(err.Error(), "; "+mend), Mend: mend}
}

func (a *app) doctorWordNet(flag string) finding {
	dir, err := a.findWordNet(flag)
	if err != nil {
		return missing("WordNet", err, native.MendWordNet)
	}
	g, err := a.openWordNet(flag)
	if err != nil {
		return missing("WordNet", err, native.MendWordNet)
	}
	return finding{Part: "WordNet", OK: true, Version: g.Version(), Path: dir, What: fmt.Sprintf("%s, %d noun synsets, %s", g.Version(), g.Len(), dir)}
}

func (a *app) doctorTorch(flag string) finding {
	path, err := a.findTorch(flag)
	if err != nil {
		return missing("training engine", err, native.MendTorch)
	}
	s, err := torch.Open(path)
	if err != nil {
		return missing("training engine", err, native.MendTorch)
	}
	cuda, err := s.CUDADevices()
	if err != nil {
		return missing("training engine", err, native.MendTorch)
	}
	devices := "cpu"
	if cuda > 0 {
		devices = fmt.Sprintf("cpu, %d CUDA", cuda)
	}
	return finding{Part: "training engine", OK: true, Version: s.Version(), Path: path, What: fmt.Sprintf("libtorch %s, devices: %s, %s", s.Version(), devices, path)}
}

func (a *app) doctorORT(flag string) finding {
	path, err := a.findORT(flag)
	if err != nil {
		return missing("ONNX Runtime", err, native.MendORT)
	}
	version, err := ort.Version(path)
	if err != nil {
		if errors.Is(err, ort.ErrUnfit) {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return missing("ONNX Runtime", err, native.MendORT)
	}
	return finding{Part: "ONNX Runtime", OK: true, Version: version, Path: path, What: version + ", " + path}
}

// doctorOpenVINO tells of what nothing needs: that it is not there is no fault, and one that
// is named or there and unfit is.
func (a *app) doctorOpenVINO(flag string) finding {
	s := search()
	path, err := s.OpenVINO(flag)
	if err != nil && flag == "" && s.Env("SYNSHARD_OPENVINO_LIB") == "" {
		return finding{Part: "OpenVINO", OK: true, What: "not here, and not needed (synshard setup --openvino brings it)"}
	}
	if err != nil {
		return missing("OpenVINO", err, native.MendOpenVINO)
	}
	version, err := openvino.Version(path)
	if err != nil {
		return missing("OpenVINO", fmt.Errorf("%s: %w", path, err), native.MendOpenVINO)
	}
	return finding{Part: "OpenVINO", OK: true, Version: version, Path: path, What: version + ", " + path}
}
