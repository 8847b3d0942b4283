package setup

import (
	"context"
	"path/filepath"
	"regexp"
)

var ortFiles = regexp.MustCompile(`^onnxruntime/(capi/libonnxruntime[^/]*\.so.*|LICENSE|ThirdPartyNotices\.txt)$`)

// onnxRuntime brings ONNX Runtime, and links to it from Lib.
func (r run) onnxRuntime(ctx context.Context) (Done, error) {
	d := Done{Part: ORT}
	if r.ORT != "" {
		d.Path = r.ORT
		r.Say(ORT, "as the environment says, "+r.ORT)
		return d, nil
	}
	group, kind := "ort", ""
	if r.CUDA {
		if r.version("ortcuda") != "" {
			group, kind = "ortcuda", "-cuda"
		} else {
			r.Say(ORT, "its CUDA build is not to be had for machine "+r.Machine+"; models run on the CPU in it")
		}
	}
	if d.Version = r.version(group); d.Version == "" {
		return d, unfit("none is pinned for machine %s; give the verbs --ort-lib FILE", r.Machine)
	}
	home := filepath.Join(r.Cache, "onnxruntime-"+d.Version+kind)
	lay, err := r.bring(ctx, ORT, d.Version, home, wanted{group, ortFiles})
	if err != nil {
		return d, err
	}
	d.Brought = !lay
	libs, err := filepath.Glob(filepath.Join(home, "onnxruntime", "capi", "libonnxruntime.so*"))
	if err != nil || len(libs) != 1 {
		return d, unfit("%s: want one libonnxruntime.so in it, there are %d: remove the directory and set up again", home, len(libs))
	}
	d.Path = filepath.Join(r.Lib, "libonnxruntime.so")
	return d, link(libs[0], d.Path)
}
