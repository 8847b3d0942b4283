package ort

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/synshard/synshard/infer/classifier"
)

// Providers are the execution providers that can be asked for.
var Providers = []string{"cpu", "cuda", "tensorrt"}

// ErrOption marks an option that a provider does not have.
var ErrOption = errors.New("no such option of the provider")

// knownOptions are the names of a provider's options, those of ONNX Runtime 1.24's
// CUDAExecutionProvider and TensorrtExecutionProvider.
var knownOptions = map[string][]string{
	"cpu": nil,
	"cuda": strings.Fields(`arena_extend_strategy cudnn_conv1d_pad_to_nc1d cudnn_conv_algo_search cudnn_conv_use_max_workspace
		device_id do_copy_in_default_stream enable_cuda_graph enable_skip_layer_norm_strict_mode fuse_conv_bias gpu_mem_limit
		prefer_nhwc sdpa_kernel tunable_op_enable tunable_op_max_tuning_duration_ms tunable_op_tuning_enable
		use_ep_level_unified_stream use_tf32`),
	"tensorrt": strings.Fields(`device_id trt_auxiliary_streams trt_bf16_enable trt_build_heuristics_enable trt_builder_optimization_level
		trt_context_memory_sharing_enable trt_cuda_graph_enable trt_detailed_build_log trt_dla_core trt_dla_enable
		trt_dump_ep_context_model trt_dump_subgraphs trt_engine_cache_enable trt_engine_cache_path trt_engine_cache_prefix
		trt_engine_hw_compatible trt_ep_context_embed_mode trt_ep_context_file_path trt_extra_plugin_lib_paths
		trt_force_sequential_engine_build trt_force_timing_cache trt_fp16_enable trt_int8_calibration_table_name trt_int8_enable
		trt_int8_use_native_calibration_table trt_layer_norm_fp32_fallback trt_max_partition_iterations trt_max_workspace_size
		trt_min_subgraph_size trt_op_types_to_exclude trt_preview_features trt_profile_max_shapes trt_profile_min_shapes
		trt_profile_opt_shapes trt_sparsity_enable trt_tactic_sources trt_timing_cache_enable trt_timing_cache_path
		trt_weight_stripped_engine_enable`),
}

// CheckProvider says what is wrong with a provider's name or options, if
// anything: ErrOption.
func CheckProvider(provider string, options map[string]string) error {
	known, ok := knownOptions[provider]
	if !ok {
		return fmt.Errorf("provider %q: want one of %s", provider, strings.Join(Providers, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if slices.Contains(known, name) {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("%w: %s has none, so not %s", ErrOption, provider, name)
		}
		return fmt.Errorf("%w: %s has no %s; it has %s", ErrOption, provider, name, strings.Join(known, ", "))
	}
	return nil
}

// defaults are options for batches of one shape. They are given to ONNX
// Runtime under what the user asks for.
func (o *Options) defaults(c *classifier.Contract) map[string]string {
	device := strconv.Itoa(o.Device)
	switch o.Provider {
	case "cuda":
		// The search for algorithms is worth its time: every batch has the same shape.
		return map[string]string{"device_id": device, "cudnn_conv_use_max_workspace": "1", "cudnn_conv_algo_search": "EXHAUSTIVE", "prefer_nhwc": "1", "do_copy_in_default_stream": "1"}
	case "tensorrt":
		d := map[string]string{"device_id": device, "trt_fp16_enable": "1"}
		if o.Batch > 0 {
			shape := fmt.Sprintf("%s:%s", c.Input, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(o.shape(c, o.Batch))), "x"), "[]"))
			d["trt_profile_min_shapes"], d["trt_profile_opt_shapes"], d["trt_profile_max_shapes"] = shape, shape, shape
		}
		if o.Cache != "" {
			d["trt_engine_cache_enable"], d["trt_engine_cache_path"] = "1", o.Cache
			d["trt_timing_cache_enable"], d["trt_timing_cache_path"] = "1", o.Cache
		}
		return d
	}
	return nil
}

// shape is that of a batch of n images.
func (o *Options) shape(c *classifier.Contract, n int) ort.Shape {
	shape := c.Shape(n, o.Spec.InputSize)
	return ort.NewShape(shape[:]...)
}

// sessionOptions are for a session of the provider that was asked for. That it
// cannot be had is ErrUnfit: nothing else runs instead.
func (o *Options) sessionOptions(c *classifier.Contract) (*ort.SessionOptions, error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(so.SetIntraOpNumThreads(max(o.Threads, 1)), so.SetInterOpNumThreads(1), so.SetLogSeverityLevel(ort.LoggingLevelError))
	if err == nil {
		options := o.defaults(c)
		maps.Copy(options, o.ProviderOptions)
		cuda := func(options map[string]string) error {
			return appendProvider("cuda", ort.NewCUDAProviderOptions, so.AppendExecutionProviderCUDA, options)
		}
		switch o.Provider {
		case "cuda":
			err = cuda(options)
		case "tensorrt":
			err = appendProvider("tensorrt", ort.NewTensorRTProviderOptions, so.AppendExecutionProviderTensorRT, options)
			if err == nil { // and CUDA for what it cannot do
				err = cuda(map[string]string{"device_id": options["device_id"]})
			}
		}
	}
	if err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

// providerOptions are a provider's, as the library holds them.
type providerOptions interface {
	Update(map[string]string) error
	Destroy() error
}

// appendProvider makes a provider's options and appends the provider with them.
func appendProvider[O providerOptions](name string, create func() (O, error), add func(O) error, options map[string]string) error {
	o, err := create()
	if err == nil {
		defer o.Destroy()
		err = o.Update(options)
	}
	if err == nil {
		err = add(o)
	}
	return absent(name, err)
}

func absent(provider string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: provider %s: %w; give --ort-lib the library of ONNX Runtime's GPU package", ErrUnfit, provider, err)
}
