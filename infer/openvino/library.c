#include "library.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>

// The C API of OpenVINO 2023 and later, as far as it is called. Element types are not: their
// numbers changed between versions.
typedef struct ov_model ov_model_t;
typedef struct ov_tensor ov_tensor_t;
typedef struct {
	int64_t min, max;
} ov_dimension_t;
typedef struct {
	ov_dimension_t rank;
	ov_dimension_t *dims;
} ov_partial_shape_t;
typedef struct {
	const char *build, *description;
} ov_version_t;

#define CALLS(X) \
	X(int, ov_core_create, (ov_core_t **)) \
	X(int, ov_core_read_model, (const ov_core_t *, const char *, const char *, ov_model_t **)) \
	X(int, ov_core_read_model_from_memory_buffer, \
		(const ov_core_t *, const char *, size_t, const ov_tensor_t *, ov_model_t **)) \
	X(int, ov_core_compile_model, \
		(const ov_core_t *, const ov_model_t *, const char *, size_t, ov_compiled_model_t **, ...)) \
	X(int, ov_model_reshape_single_input, (const ov_model_t *, ov_partial_shape_t)) \
	X(int, ov_partial_shape_create_static, (int64_t, const int64_t *, ov_partial_shape_t *)) \
	X(void, ov_partial_shape_free, (ov_partial_shape_t *)) \
	X(int, ov_compiled_model_create_infer_request, (const ov_compiled_model_t *, ov_infer_request_t **)) \
	X(int, ov_infer_request_get_input_tensor, (const ov_infer_request_t *, ov_tensor_t **)) \
	X(int, ov_infer_request_get_tensor, (const ov_infer_request_t *, const char *, ov_tensor_t **)) \
	X(int, ov_infer_request_start_async, (ov_infer_request_t *)) \
	X(int, ov_infer_request_wait, (ov_infer_request_t *)) \
	X(int, ov_tensor_data, (const ov_tensor_t *, void **)) \
	X(int, ov_tensor_get_byte_size, (const ov_tensor_t *, size_t *)) \
	X(void, ov_tensor_free, (ov_tensor_t *)) \
	X(void, ov_model_free, (ov_model_t *)) \
	X(void, ov_compiled_model_free, (ov_compiled_model_t *)) \
	X(void, ov_infer_request_free, (ov_infer_request_t *)) \
	X(int, ov_get_openvino_version, (ov_version_t *)) \
	X(void, ov_version_free, (ov_version_t *)) \
	X(const char *, ov_get_last_err_msg, (void))

// One pointer for each call, by its own name behind the dot.
#define POINTER(result, name, arguments) result(*name) arguments;
static struct {
	CALLS(POINTER)
} api;

// say leaves a message.
static void say(char *message, const char *format, ...) {
	va_list of;
	va_start(of, format);
	vsnprintf(message, MESSAGE, format, of);
	va_end(of);
}

// failed leaves what the last call had to say, if it did not give 0.
static int failed(int status, const char *doing, char *message) {
	if (status != 0) {
		const char *said = api.ov_get_last_err_msg();
		say(message, "%s: %s", doing, said && *said ? said : "it does not say why");
	}
	return status;
}

ov_core_t *library_open(const char *path, char *message) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		say(message, "%s", dlerror());
		return NULL;
	}
#define FIND(result, name, arguments) \
	if (!(*(void **)&api.name = dlsym(library, #name))) { \
		say(message, "it has no %s", #name); \
		dlclose(library); \
		return NULL; \
	}
	CALLS(FIND)
	ov_core_t *core = NULL;
	return failed(api.ov_core_create(&core), "begin", message) ? NULL : core;
}

void library_version(char *version) {
	ov_version_t v = {0};
	*version = 0;
	if (api.ov_get_openvino_version(&v) == 0) {
		say(version, "%s", v.build ? v.build : "");
		api.ov_version_free(&v);
	}
}

// reshape says how many images of which size a run takes.
static int reshape(ov_model_t *model, const int64_t shape[4], char *message) {
	ov_partial_shape_t all = {{0}};
	int status = failed(api.ov_partial_shape_create_static(4, shape, &all), "shape", message);
	if (status == 0) {
		status = failed(api.ov_model_reshape_single_input(model, all), "shape of the input", message);
		api.ov_partial_shape_free(&all);
	}
	return status;
}

ov_compiled_model_t *model_compile(ov_core_t *core, const char *path, const char *bytes, size_t n,
	const int64_t shape[4], const char *streams, char *message) {
	ov_model_t *model = NULL;
	ov_compiled_model_t *compiled = NULL;
	int status = bytes ? api.ov_core_read_model_from_memory_buffer(core, bytes, n, NULL, &model)
			   : api.ov_core_read_model(core, path, NULL, &model);
	if (failed(status, "read the model", message) || reshape(model, shape, message))
		goto end;
	// One thread a stream: sums do not depend on how many there are. In fp32 as the model says, where a
	// processor's own default would be bf16; threads are left to the system, as decoding takes processors too.
	status = api.ov_core_compile_model(core, model, "CPU", 8, &compiled, "NUM_STREAMS", streams,
		"INFERENCE_NUM_THREADS", streams, "INFERENCE_PRECISION_HINT", "f32", "ENABLE_CPU_PINNING", "NO");
	if (failed(status, "make the model ready", message))
		compiled = NULL;
end:
	if (model)
		api.ov_model_free(model);
	return compiled;
}

void model_free(ov_compiled_model_t *model) {
	api.ov_compiled_model_free(model);
}

ov_infer_request_t *request_new(ov_compiled_model_t *model, char *message) {
	ov_infer_request_t *r = NULL;
	return failed(api.ov_compiled_model_create_infer_request(model, &r), "begin a run", message) ? NULL : r;
}

void request_free(ov_infer_request_t *request) {
	api.ov_infer_request_free(request);
}

void *request_memory(ov_infer_request_t *request, const char *output, size_t *bytes, char *message) {
	ov_tensor_t *tensor = NULL;
	void *data = NULL;
	int status = output ? api.ov_infer_request_get_tensor(request, output, &tensor)
			    : api.ov_infer_request_get_input_tensor(request, &tensor);
	if (failed(status, output ? output : "input", message))
		return NULL;
	// The request keeps the memory; only the handle of it is let go.
	if (failed(api.ov_tensor_get_byte_size(tensor, bytes), "size of a tensor", message) ||
		failed(api.ov_tensor_data(tensor, &data), "memory of a tensor", message))
		data = NULL;
	api.ov_tensor_free(tensor);
	return data;
}

// Runs in a thread of the library's own, so that no thread of the caller's becomes a stream.
int request_run(ov_infer_request_t *request, char *message) {
	int status = failed(api.ov_infer_request_start_async(request), "run", message);
	return status ? status : failed(api.ov_infer_request_wait(request), "run", message);
}
