// C++ values carried through an autograd context, which knows tensors and IValues alone.
#pragma once

#include <ATen/core/ivalue.h>

#include <utility>

namespace synshard {

template <class T> struct Kept : torch::CustomClassHolder {
	explicit Kept(T v) : value(std::move(v)) {}
	T value;
};

// keep wraps a value for AutogradContext::saved_data; kept<T>, with the very same T, unwraps it.
template <class T> c10::IValue keep(T value) {
	return c10::IValue::make_capsule(c10::make_intrusive<Kept<T>>(std::move(value)));
}

template <class T> T kept(const c10::IValue &v) {
	return static_cast<const Kept<T> &>(*v.toCapsule()).value;
}

} // namespace synshard
