// Where processes that are to be a group leave each other their addresses.
#pragma once

#include "synshard_torch.h"

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>
#include <exception>
#include <string>

namespace synshard {

// caller_store is the caller's store as libtorch wants one.
c10::intrusive_ptr<c10d::Store> caller_store(const ss_store &, std::chrono::milliseconds timeout);

// first_line keeps a message of libtorch's readable.
std::string first_line(const std::exception &);

} // namespace synshard
