package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/crash"
)

// version is set by the linker (-X main.version=...) and otherwise taken from
// the build information.
var version = ""

// reportAddress is where to tell of a crash.
const reportAddress = "https://github.com/synshard/synshard/issues"

func newVersionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Prints the version, the Go release it was built with, and for which system.",
		Example: "  synshard version\n  synshard version --json",
		Args:    exactly(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.Result(v, func(w io.Writer) {
				fmt.Fprintf(w, "synshard %s, %s, %s/%s\n", v.Version, v.Go, v.OS, v.Arch)
			})
		},
	}
}

func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " " + s.Value[:12]
			}
		}
	}
	return v
}

// crashText is the last line of a process that crashed.
func crashText() string {
	return fmt.Sprintf("this is a fault in synshard %s; please report it, with what stands above, at %s", buildVersion(), reportAddress)
}

// guardJSON makes the last line of a crash an object, as errors are with --json
// and --progress json.
func guardJSON() error {
	b, err := json.Marshal(map[string]any{"type": "error", "message": crashText(), "exit_code": exitFailure, "kind": "fault"})
	if err != nil {
		return err
	}
	return crash.Guard(string(b))
}
