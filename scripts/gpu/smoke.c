/* The engine's interface called from C, to see that a library built for this machine opens, counts its cards, compiles
 * its kernels for CAPABILITY (90 for 9.0; 0: not) and takes and frees pinned memory. One JSON line; exit status 1 if
 * something failed.
 *   smoke LIBRARY CAPABILITY */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "synshard_torch.h"

static int failed;

static void report(const char *what, int code, const char *message) {
	printf(", \"%s\": \"", what);
	if (code == SS_OK)
		printf("ok");
	for (const char *c = message; code != SS_OK && *c; c++)
		putchar(*c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '\'' : *c);
	putchar('"');
	failed |= code != SS_OK;
}

int main(int argc, char **argv) {
	if (argc != 3) {
		fprintf(stderr, "usage: smoke LIBRARY CAPABILITY\n");
		return 2;
	}
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	const ss_api *(*entry)(void) = (const ss_api *(*)(void))dlsym(library, "synshard_torch_v1");
	if (!entry) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	const ss_api *api = entry();
	char err[2048] = "";
	int32_t devices = 0;
	printf("{\"abi\": %u, \"torch\": \"%s\"", api->abi, api->torch_version);
	if (api->abi != SS_ABI) {
		printf(", \"want\": %u}\n", SS_ABI);
		return 1;
	}
	report("count", api->device_count(&devices, err, sizeof err), err);
	printf(", \"devices\": %d", devices);
	int capability = atoi(argv[2]);
	if (capability > 0)
		report("compile", api->compile_kernels(capability, err, sizeof err), err);
	if (devices > 0) {
		void *piece, *handles[3] = {0};
		for (int i = 0; i < 3; i++)
			report("pin", api->pin_alloc((size_t)1000 << (8 * i), &piece, &handles[i], err, sizeof err),
				err);
		for (int i = 0; i < 3; i++)
			if (handles[(i + 1) % 3])
				api->pin_free(handles[(i + 1) % 3]);
	}
	printf("}\n");
	return failed;
}
