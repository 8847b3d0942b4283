package setup

import (
	"context"
	"path/filepath"
	"regexp"
)

// What reads ONNX and runs on the CPU; the wheel has devices and formats besides.
var openVINOFiles = regexp.MustCompile(`^openvino/libs/lib(openvino|openvino_c|openvino_onnx_frontend|openvino_intel_cpu_plugin|openvino_arm_cpu_plugin|tbb|tbbmalloc|tbbbind_2_5|hwloc)\.so[.0-9]*$|^openvino-[^/]*/licenses/`)

// openVINO brings OpenVINO, and links to its C library from Lib.
func (r run) openVINO(ctx context.Context) (Done, error) {
	d := Done{Part: OpenVINO}
	if d.Version = r.version("openvino"); d.Version == "" {
		return d, unfit("none is pinned for machine %s; give the verbs --openvino-lib FILE", r.Machine)
	}
	home := filepath.Join(r.Cache, "openvino-"+d.Version)
	lay, err := r.bring(ctx, OpenVINO, d.Version, home, wanted{"openvino", openVINOFiles})
	if err != nil {
		return d, err
	}
	d.Brought = !lay
	libs, err := filepath.Glob(filepath.Join(home, "openvino", "libs", "libopenvino_c.so*"))
	if err != nil || len(libs) != 1 {
		return d, unfit("%s: want one libopenvino_c.so in it, there are %d: remove the directory and set up again", home, len(libs))
	}
	d.Path = filepath.Join(r.Lib, "libopenvino_c.so")
	return d, link(libs[0], d.Path)
}
