// The node table rearranged for speed. What it computes stays the same but for the order of rounding; the plain path
// runs the table as it came, and tests hold the two to each other.
#include "engine.h"

#include <map>
#include <utility>

namespace synshard {

void Network::link() {
	for (Node &n : nodes)
		n.uses = n.last_use = 0;
	for (size_t i = 0; i < nodes.size(); i++)
		for (int in : nodes[i].inputs) {
			nodes[in].last_use = static_cast<int>(i);
			nodes[in].uses++;
		}
	auto keep = [&](int i) { nodes[i].last_use = static_cast<int>(nodes.size()); };
	keep(logits);
	for (int a : aux)
		keep(a);
	for (Node &n : nodes) {
		n.channels = n.inputs.empty() ? 3 : nodes[n.inputs[0]].channels;
		if (n.op == SS_CONV && n.param[SS_WEIGHT] >= 0)
			n.channels = params[n.param[SS_WEIGHT]].shape[0];
		if (n.op == SS_CONCAT)
			n.channels = 0;
		for (int in : n.inputs)
			if (n.op == SS_CONCAT)
				n.channels += nodes[in].channels;
	}
}

namespace {

bool of_one_pixel(const Node &n) {
	return n.op == SS_CONV && n.kernel[0] == 1 && n.kernel[1] == 1 && n.stride[0] == 1 && n.stride[1] == 1 &&
		n.pad[0] == 0 && n.pad[1] == 0 && n.param[SS_BIAS] < 0;
}

} // namespace

std::vector<bool> Network::needed(const std::vector<int> &wanted) const {
	std::vector<bool> yes(nodes.size(), false);
	for (int i : wanted)
		yes[i] = true;
	for (int i = static_cast<int>(nodes.size()) - 1; i > 0; i--)
		if (yes[i])
			for (int in : nodes[i].inputs)
				yes[in] = true;
	return yes;
}

void Network::rearrange() {
	auto inside = [&](int i) { // read by one node, and seen by nobody else
		return nodes[i].uses == 1 && nodes[i].last_use < static_cast<int>(nodes.size()) && i != embedding;
	};
	// An average over pixels and a sum over channels are taken in either order: the one that leaves fewer channels
	// to average. (A bias would be averaged with the padding.) The nodes change places, parameters with them.
	for (size_t i = 0; i < nodes.size(); i++) {
		Node &conv = nodes[i];
		if (!of_one_pixel(conv))
			continue;
		int before = conv.inputs[0];
		Node &pool = nodes[before];
		bool same_size = pool.stride[0] == 1 && pool.stride[1] == 1;
		if (pool.op != SS_AVG_POOL || !same_size || !inside(before) || conv.channels >= pool.channels)
			continue;
		std::swap(pool, conv);
		std::swap(pool.inputs, conv.inputs); // each reads what stood before its new place
		for (Param &p : params)
			if (p.node == static_cast<int>(i))
				p.node = before;
	}
	link();
	// A concatenation of concatenations is one.
	for (Node &n : nodes) {
		if (n.op != SS_CONCAT)
			continue;
		std::vector<int> flat;
		for (int in : n.inputs)
			if (nodes[in].op == SS_CONCAT && inside(in))
				flat.insert(flat.end(), nodes[in].inputs.begin(), nodes[in].inputs.end());
			else
				flat.push_back(in);
		for (int in : n.inputs)
			if (nodes[in].op == SS_CONCAT && inside(in))
				nodes[in].inputs.clear(); // nobody asks for it any more
		n.inputs = flat;
	}
	link();
	for (Node &relu : nodes) {
		if (relu.op != SS_RELU)
			continue;
		int before = relu.inputs[0];
		relu.done = nodes[before].with_relu = nodes[before].op == SS_BATCH_NORM && inside(before);
	}
	// 1x1 convolutions of one input are one, where the next passes read some channels of a wider tensor as well.
	std::vector<int> reader(nodes.size(), 0);
	for (size_t i = 0; i < nodes.size(); i++)
		for (int in : nodes[i].inputs)
			reader[in] = static_cast<int>(i);
	std::vector<bool> main = needed({logits});
	std::map<int, std::vector<int>> entries;
	for (size_t i = 0; i < nodes.size(); i++) {
		bool ours = nodes[reader[i]].with_relu || nodes[reader[i]].op == SS_AVG_POOL;
		if (main[i] && of_one_pixel(nodes[i]) && inside(i) && ours && nodes[i].inputs[0] != 0)
			entries[nodes[i].inputs[0]].push_back(static_cast<int>(i));
	}
	for (auto &[input, together] : entries)
		nodes[together[0]].merged = together;
	// What is only read by a concatenation is made there.
	for (size_t i = 0; i < nodes.size(); i++) {
		if (nodes[i].op != SS_CONCAT)
			continue;
		int64_t from = 0;
		for (int in : nodes[i].inputs) {
			Node &part = nodes[nodes[in].done ? nodes[in].inputs[0] : in];
			if (inside(in) && (part.with_relu || part.op == SS_MAX_POOL || part.op == SS_AVG_POOL)) {
				part.concat = static_cast<int>(i);
				part.concat_from = from;
			}
			from += nodes[in].channels;
		}
	}
}

} // namespace synshard
