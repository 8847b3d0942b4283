// What is called of OpenVINO's C library, which is opened at run time.
#ifndef SYNSHARD_OPENVINO_LIBRARY_H
#define SYNSHARD_OPENVINO_LIBRARY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { MESSAGE = 1024 }; // bytes of a message, with its end

typedef struct ov_core ov_core_t;
typedef struct ov_compiled_model ov_compiled_model_t;
typedef struct ov_infer_request ov_infer_request_t;

// All of these leave what went wrong in message, and give NULL or not 0 then.
ov_core_t *library_open(const char *path, char *message);
ov_compiled_model_t *model_compile(ov_core_t *core, const char *path, const char *bytes, size_t n,
	const int64_t shape[4], const char *streams, char *message);
ov_infer_request_t *request_new(ov_compiled_model_t *model, char *message);
void *request_memory(ov_infer_request_t *request, const char *output, size_t *bytes, char *message);
int request_run(ov_infer_request_t *request, char *message);

void library_version(char *version); // MESSAGE bytes
void model_free(ov_compiled_model_t *model);
void request_free(ov_infer_request_t *request);

#endif
