// libtorch's store of a group, two ways: the caller's, behind which no socket of libtorch's listens, and, as a client
// alone, one that a launcher keeps.
#include "store.h"
#include "engine.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <cstdlib>
#include <cstring>

namespace synshard {

namespace {

class CallerStore : public c10d::Store {
public:
	CallerStore(const ss_store &store, std::chrono::milliseconds timeout) : c10d::Store(timeout), store(store) {}

	c10::intrusive_ptr<c10d::Store> clone() override { return c10::make_intrusive<CallerStore>(store, timeout_); }

	using c10d::Store::set;
	void set(const std::string &key, const std::vector<uint8_t> &value) override {
		ss_store_call c = about(SS_STORE_SET, key);
		c.value = value.data();
		c.value_len = static_cast<int64_t>(value.size());
		call(c);
	}

	std::vector<uint8_t> get(const std::string &key) override { return get(key, timeout_); }

	int64_t add(const std::string &key, int64_t value) override { return number(SS_STORE_ADD, key, value); }
	bool deleteKey(const std::string &key) override { return number(SS_STORE_DELETE, key) != 0; }
	int64_t getNumKeys() override { return number(SS_STORE_COUNT, ""); }

	bool check(const std::vector<std::string> &keys) override {
		for (auto &key : keys)
			if (number(SS_STORE_CHECK, key) == 0)
				return false;
		return true;
	}

	void wait(const std::vector<std::string> &keys) override { wait(keys, timeout_); }
	void wait(const std::vector<std::string> &keys, const std::chrono::milliseconds &timeout) override {
		for (auto &key : keys)
			get(key, timeout);
	}

private:
	static ss_store_call about(int32_t op, const std::string &key) {
		ss_store_call c{};
		c.op = op;
		c.key = key.data();
		c.key_len = static_cast<int64_t>(key.size());
		return c;
	}

	void call(ss_store_call &c) {
		char err[512] = "";
		if (store.call(store.context, &c, err, sizeof err) != SS_OK)
			C10_THROW_ERROR(DistStoreError, err);
	}

	int64_t number(int32_t op, const std::string &key, int64_t n = 0) {
		ss_store_call c = about(op, key);
		c.number = n;
		call(c);
		return c.number;
	}

	std::vector<uint8_t> get(const std::string &key, const std::chrono::milliseconds &timeout) {
		ss_store_call c = about(SS_STORE_GET, key);
		c.timeout_s = std::chrono::duration<double>(timeout == kNoTimeout ? timeout_ : timeout).count();
		call(c);
		std::vector<uint8_t> value(c.out, c.out + c.out_len);
		std::free(c.out);
		return value;
	}

	ss_store store;
};

} // namespace

std::string first_line(const std::exception &e) {
	auto *c = dynamic_cast<const c10::Error *>(&e);
	std::string text = c ? c->what_without_backtrace() : e.what();
	return text.substr(0, text.find('\n'));
}

c10::intrusive_ptr<c10d::Store> caller_store(const ss_store &store, std::chrono::milliseconds timeout) {
	return c10::make_intrusive<CallerStore>(store, timeout);
}

void meet(const ss_meeting &m, char *word, size_t n) {
	if (!m.addr || !m.name || m.rank < 0 || m.port < 1 || m.port > 65535 || !(m.timeout_s > 0) || !word || n == 0)
		throw bad_argument("meeting: an address, a port, a rank or a time limit is out of range");
	try {
		c10d::TCPStoreOptions options;
		options.port = static_cast<uint16_t>(m.port);
		options.isServer = false;
		options.waitWorkers = false;
		options.timeout = std::chrono::milliseconds(static_cast<int64_t>(m.timeout_s * 1000));
		c10d::PrefixStore store(m.name, c10::make_intrusive<c10d::TCPStore>(m.addr, options));
		if (m.rank == 0) {
			store.set("word", std::vector<uint8_t>(word, word + std::strlen(word)));
			return;
		}
		auto said = store.get("word");
		if (said.size() >= n)
			throw bad_argument("rank 0 said more than there is room for");
		std::memcpy(word, said.data(), said.size());
		word[said.size()] = 0;
	} catch (const bad_argument &) {
		throw;
	} catch (const std::exception &e) {
		throw lost_peer(first_line(e));
	}
}

} // namespace synshard
