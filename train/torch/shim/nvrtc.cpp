// kernels.cu, compiled by NVRTC for the device that is there. NVRTC and the driver are looked up at run time, so that
// this builds, and the engine runs, without either.
#ifndef SYNSHARD_EMULATED
#include "gpu.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/DeviceGuard.h>

#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <mutex>

namespace synshard {
namespace gpu {

namespace {

const char source[] =
#include "kernels.inc" // written by build.sh
	;

// Of the driver's attributes of a device.
constexpr int attribute_multiprocessors = 16, attribute_major = 75, attribute_minor = 76;

template <class F> void symbol(void *library, const char *name, F *&to) {
	to = reinterpret_cast<F *>(dlsym(library, name));
	if (!to)
		throw std::runtime_error(std::string(name) + " is missing");
}

void *open_any(std::initializer_list<const char *> names) {
	std::string why;
	for (const char *name : names) {
		if (void *l = dlopen(name, RTLD_NOW | RTLD_LOCAL))
			return l;
		if (why.empty())
			why = dlerror();
	}
	throw std::runtime_error(why);
}

// open_builtins loads the library that NVRTC looks for by name when it compiles; beside it, where its own search path
// does not lead in PyTorch's wheels.
void open_builtins(void *inside_nvrtc) {
	Dl_info found;
	if (!dladdr(inside_nvrtc, &found) || !found.dli_fname)
		return;
	std::filesystem::path library(found.dli_fname);
	std::error_code none; // if nothing is there NVRTC says so
	for (auto &entry : std::filesystem::directory_iterator(library.parent_path(), none))
		if (entry.path().filename().string().rfind("libnvrtc-builtins.so", 0) == 0)
			dlopen(entry.path().c_str(), RTLD_NOW | RTLD_GLOBAL);
}

// Compiler is NVRTC.
struct Compiler {
	using Program = void *;
	int (*create)(Program *, const char *, const char *, int, const char *const *, const char *const *);
	int (*compile)(Program, int, const char *const *);
	int (*destroy)(Program *);
	int (*log_size)(Program, size_t *);
	int (*log)(Program, char *);
	int (*size)(Program, size_t *);
	int (*binary)(Program, char *);
	const char *(*message)(int);

	Compiler() {
		void *l = open_any({"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"});
		symbol(l, "nvrtcCreateProgram", create);
		symbol(l, "nvrtcCompileProgram", compile);
		symbol(l, "nvrtcDestroyProgram", destroy);
		symbol(l, "nvrtcGetProgramLogSize", log_size);
		symbol(l, "nvrtcGetProgramLog", log);
		symbol(l, "nvrtcGetErrorString", message);
		symbol(l, "nvrtcGetCUBINSize", size);
		symbol(l, "nvrtcGetCUBIN", binary);
		open_builtins(reinterpret_cast<void *>(create));
	}

	std::string run(const std::string &text, int capability) const {
		Program p = nullptr;
		if (int code = create(&p, text.c_str(), "kernels.cu", 0, nullptr, nullptr))
			throw std::runtime_error(message(code));
		std::string arch = "--gpu-architecture=sm_" + std::to_string(capability);
		const char *options[] = {arch.c_str(), "--std=c++17"};
		int code = compile(p, 2, options);
		std::string out;
		size_t n = 0;
		if (code) {
			log_size(p, &n);
			out.resize(n);
			log(p, out.data());
			destroy(&p);
			throw std::runtime_error(std::string(message(code)) + ": " + out.c_str());
		}
		code = size(p, &n);
		out.resize(n);
		if (!code)
			code = binary(p, out.data());
		destroy(&p);
		if (code)
			throw std::runtime_error(message(code));
		return out;
	}
};

// Driver is CUDA's.
struct Driver {
	using Handle = void *;
	int (*init)(unsigned);
	int (*device)(int *, int);
	int (*attribute)(int *, int, int);
	int (*retain)(Handle *, int);
	int (*get_current)(Handle *);
	int (*set_current)(Handle);
	int (*load)(Handle *, const void *);
	int (*function)(Handle *, Handle, const char *);
	int (*launch)(
		Handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Handle, void **, void **);
	int (*resident)(int *, Handle, int, size_t);
	int (*message)(int, const char **);

	Driver() {
		void *l = open_any({"libcuda.so.1"});
		symbol(l, "cuInit", init);
		symbol(l, "cuDeviceGet", device);
		symbol(l, "cuDeviceGetAttribute", attribute);
		symbol(l, "cuDevicePrimaryCtxRetain", retain);
		symbol(l, "cuCtxGetCurrent", get_current);
		symbol(l, "cuCtxSetCurrent", set_current);
		symbol(l, "cuModuleLoadData", load);
		symbol(l, "cuModuleGetFunction", function);
		symbol(l, "cuLaunchKernel", launch);
		symbol(l, "cuOccupancyMaxActiveBlocksPerMultiprocessor", resident);
		symbol(l, "cuGetErrorString", message);
		check(init(0), "cuInit");
	}

	int card(const at::Device &d) const {
		int id = 0;
		check(device(&id, d.index()), "cuDeviceGet");
		return id;
	}

	int capability(int card) const { // 75 for 7.5
		int major = 0, minor = 0;
		check(attribute(&major, attribute_major, card), "compute capability");
		check(attribute(&minor, attribute_minor, card), "compute capability");
		return major * 10 + minor;
	}

	void check(int code, const std::string &what) const {
		if (code == 0)
			return;
		const char *text = nullptr;
		message(code, &text);
		throw std::runtime_error(what + ": " + (text ? text : "CUDA error " + std::to_string(code)));
	}
};

class Compiled : public Kernels {
public:
	Compiled(at::Device device, const Compiler &compiler) : device(device) {
		int id = driver.card(device);
		driver.check(
			driver.attribute(&multiprocessors, attribute_multiprocessors, id), "number of multiprocessors");
		std::string binary = compiler.run(source, driver.capability(id));
		driver.check(driver.retain(&context, id), "primary context");
		make_current();
		driver.check(driver.load(&module, binary.data()), "cuModuleLoadData");
	}

	int resident(const std::string &name, unsigned threads) const override {
		std::lock_guard<std::mutex> lock(looking);
		int &known = room[{name, threads}];
		if (!known) {
			make_current();
			driver.check(driver.resident(&known, function(name), static_cast<int>(threads), 0),
				"kernel " + name);
			known = std::max(known, 1);
		}
		return known;
	}

private:
	// function is for those who hold the lock.
	void *function(const std::string &name) const {
		void *&known = functions[name];
		if (!known)
			driver.check(driver.function(&known, module, name.c_str()), "kernel " + name);
		return known;
	}
	void make_current() const { // a thread that only autograd uses may have none
		void *now = nullptr;
		driver.check(driver.get_current(&now), "cuCtxGetCurrent");
		if (now != context)
			driver.check(driver.set_current(context), "cuCtxSetCurrent");
	}

	void run(const std::string &name, Extent grid, Extent block, void **args, const std::type_info **,
		size_t) const override {
		void *f = nullptr;
		{
			std::lock_guard<std::mutex> lock(looking);
			f = function(name);
		}
		make_current();
		void *stream = at::accelerator::getCurrentStream(device.index()).native_handle();
		driver.check(driver.launch(f, grid.x, grid.y, 1, block.x, block.y, 1, 0, stream, args, nullptr),
			"kernel " + name);
	}

	Driver driver;
	at::Device device;
	void *context = nullptr, *module = nullptr;
	mutable std::mutex looking;
	mutable std::map<std::string, void *> functions;
	mutable std::map<std::pair<std::string, unsigned>, int> room;
};

} // namespace

const Kernels *Kernels::find(const at::Device &device, std::string &why) {
	if (!device.is_cuda())
		return nullptr;
	struct Found {
		std::unique_ptr<Compiled> kernels;
		std::string why;
	};
	static std::mutex one;
	static std::map<int, Found> &all = *new std::map<int, Found>; // the driver may end first
	std::lock_guard<std::mutex> lock(one);
	auto it = all.find(device.index());
	if (it == all.end()) {
		Found found;
		try {
			found.kernels = std::make_unique<Compiled>(device, Compiler());
		} catch (const std::exception &e) {
			why = found.why = e.what();
			if (out_of_memory(e)) // it may be there later
				return nullptr;
		}
		it = all.emplace(device.index(), std::move(found)).first;
	}
	why = it->second.why;
	return it->second.kernels.get();
}

int Kernels::capability(const at::Device &device) {
	Driver driver;
	return driver.capability(driver.card(device));
}

void Kernels::open_compiler() noexcept {
	try {
		Compiler();
	} catch (...) { // find says why, where it matters
	}
}

void Kernels::compile_for(int capability) {
	Compiler().run(source, capability);
}

c10::Allocator &pinned_allocator() {
	if (!at::globalContext().hasCUDA())
		throw no_device("pinned memory needs CUDA");
	return *at::globalContext().getPinnedMemoryAllocator(at::kCUDA);
}

} // namespace gpu
} // namespace synshard
#endif
