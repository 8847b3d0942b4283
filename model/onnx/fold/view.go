package fold

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// view is a way to walk a tensor: which of its elements each place of another shape has,
// counted in elements.
type view struct {
	offset         int
	shape, strides []int
}

// whole is the view of a tensor as it is.
func whole(shape []int) view {
	v := view{shape: slices.Clone(shape), strides: make([]int, len(shape))}
	for i, n := len(shape)-1, 1; i >= 0; i-- {
		v.strides[i], n = n, n*shape[i]
	}
	return v
}

// of gives the elements of x that v has, in v's shape.
func (v view) of(x model.Tensor) model.Tensor {
	size, n := model.ElementSize(x.DType), count(v.shape)
	if n == 0 { // of which another dimension may be of any size
		return model.Tensor{DType: x.DType, Shape: v.shape}
	}
	out := make([]byte, 0, n*size)
	var walk func(at, axis int)
	walk = func(at, axis int) {
		if axis == len(v.shape) {
			out = append(out, x.Data[at*size:][:size]...)
			return
		}
		for i := range v.shape[axis] {
			walk(at+i*v.strides[axis], axis+1)
		}
	}
	walk(v.offset, 0)
	return model.Tensor{DType: x.DType, Shape: v.shape, Data: out}
}

// transpose reverses a tensor's dimensions, or orders them by perm where that is given.
func transpose(x model.Tensor, perm *onnxpb.Attribute) (model.Tensor, bool) {
	v, from := whole(x.Shape), whole(x.Shape)
	seen := make([]bool, len(x.Shape))
	for i := range v.shape {
		j := len(x.Shape) - 1 - i
		if perm != nil {
			if len(perm.Ints) != len(x.Shape) {
				return x, false
			}
			if j = int(perm.Ints[i]); j < 0 || j >= len(seen) || seen[j] {
				return x, false
			}
			seen[j] = true
		}
		v.shape[i], v.strides[i] = from.shape[j], from.strides[j]
	}
	return v.of(x), true
}

// sliced is a part of a tensor: data, starts, ends, axes and steps, the last two perhaps
// left out.
func sliced(in []model.Tensor) (x model.Tensor, ok bool) {
	var lists [4][]int64
	for i := range lists {
		if i+1 < len(in) && in[i+1].DType != "" {
			if lists[i], ok = in[i+1].Integers(); !ok || len(lists[i]) != len(lists[0]) {
				return x, false
			}
		}
	}
	v := whole(in[0].Shape)
	done := make([]bool, len(v.shape))
	for i, start := range lists[0] {
		axis, step := i, int64(1)
		if lists[2] != nil {
			axis, ok = axisOf(lists[2][i], len(v.shape))
		} else {
			ok = axis < len(v.shape)
		}
		if lists[3] != nil {
			step = lists[3][i]
		}
		if !ok || done[axis] || step == 0 || step == math.MinInt64 {
			return x, false
		}
		done[axis] = true
		first, n := run(start, lists[1][i], step, int64(v.shape[axis]))
		v.offset, v.shape[axis], v.strides[axis] = v.offset+int(first)*v.strides[axis], int(n), v.strides[axis]*int(step)
	}
	return v.of(in[0]), true
}

// run gives the first place and the number of places of a slice over size places.
func run(start, end, step, size int64) (first, n int64) {
	fit := func(at, lo, hi int64) int64 {
		if at < 0 {
			at = max(at, -size-1) + size
		}
		return min(max(at, lo), hi)
	}
	if step > 0 {
		first, end = fit(start, 0, size), fit(end, 0, size)
		return first, steps(end-first, step)
	}
	first, end = fit(start, 0, size-1), fit(end, -1, size-1)
	return first, steps(first-end, -step)
}

// steps is how many steps begin within a distance.
func steps(distance, step int64) int64 {
	if distance <= 0 {
		return 0
	}
	return (distance-1)/step + 1
}

// concat joins tensors of one type along an axis.
func concat(in []model.Tensor, axis, size int) (x model.Tensor, ok bool) {
	rank := len(in[0].Shape)
	axis, ok = axisOf(int64(axis), rank)
	if !ok {
		return x, false
	}
	x = model.Tensor{DType: in[0].DType, Shape: slices.Clone(in[0].Shape)}
	x.Shape[axis] = 0
	for _, t := range in {
		if t.DType != x.DType || len(t.Shape) != rank {
			return x, false
		}
		for i, d := range t.Shape {
			if i != axis && d != x.Shape[i] {
				return x, false
			}
		}
		x.Shape[axis] += t.Shape[axis]
	}
	if n := count(x.Shape); n == 0 || n > size {
		return x, false
	}
	outer, row := 1, model.ElementSize(x.DType)
	for i, d := range x.Shape {
		if i < axis {
			outer *= d
		} else if i > axis {
			row *= d
		}
	}
	for o := range outer {
		for _, t := range in {
			n := t.Shape[axis] * row
			x.Data = append(x.Data, t.Data[o*n:][:n]...)
		}
	}
	return x, true
}

// gather takes one place, or several in a row, of a tensor's axis.
func gather(x, at model.Tensor, along int) (model.Tensor, bool) {
	places, ok := at.Integers()
	axis, fits := axisOf(int64(along), len(x.Shape))
	if !ok || !fits || len(at.Shape) > 1 || x.Shape[axis] == 0 || len(places) == 0 {
		return x, false
	}
	size := max(largest, model.Elements(x.Shape))
	if len(places) > largest || len(places)*(model.Elements(x.Shape)/x.Shape[axis]) > size {
		return x, false
	}
	var rows []model.Tensor
	for _, p := range places {
		i, ok := axisOf(p, x.Shape[axis])
		if !ok {
			return x, false
		}
		v := whole(x.Shape)
		v.offset, v.shape[axis] = i*v.strides[axis], 1
		rows = append(rows, v.of(x))
	}
	out, ok := concat(rows, axis, size)
	if ok && len(at.Shape) == 0 {
		out.Shape = slices.Delete(out.Shape, axis, axis+1)
	}
	return out, ok
}

// reshape gives a tensor another shape, in which 0 is the dimension of before and one may
// be -1: what is left.
func reshape(x, dims model.Tensor) (model.Tensor, bool) {
	want, ok := dims.Integers()
	if !ok || len(dims.Shape) != 1 {
		return x, false
	}
	shape, known, open := make([]int, len(want)), 1, -1
	for i, d := range want {
		switch {
		case d == 0 && i < len(x.Shape):
			d = int64(x.Shape[i])
		case d == -1 && open < 0:
			open, d = i, 1
		case d <= 0 || d > math.MaxInt32:
			return x, false
		}
		shape[i] = int(d)
		if known = count([]int{known, shape[i]}); known == math.MaxInt {
			return x, false
		}
	}
	n := model.Elements(x.Shape)
	if open >= 0 && known > 0 {
		shape[open] = n / known
	}
	x.Shape = shape
	return x, count(shape) == n
}

// unsqueeze puts dimensions of 1 where they are to be afterwards.
func unsqueeze(x, axes model.Tensor) (model.Tensor, bool) {
	list, ok := axes.Integers()
	rank := len(x.Shape) + len(list)
	if !ok || len(list) > 8 {
		return x, false
	}
	shape := make([]int, rank)
	for _, a := range list {
		i, ok := axisOf(a, rank)
		if !ok || shape[i] != 0 {
			return x, false
		}
		shape[i] = 1
	}
	rest := x.Shape
	for i := range shape {
		if shape[i] == 0 {
			shape[i], rest = rest[0], rest[1:]
		}
	}
	x.Shape = shape
	return x, true
}

// squeeze takes dimensions of 1 away.
func squeeze(x, axes model.Tensor) (model.Tensor, bool) {
	list, ok := axes.Integers()
	gone := make([]bool, len(x.Shape))
	for _, a := range list {
		i, fits := axisOf(a, len(x.Shape))
		if ok = ok && fits && x.Shape[i] == 1; !ok {
			return x, false
		}
		gone[i] = true
	}
	var shape []int
	for i, d := range x.Shape {
		if !gone[i] {
			shape = append(shape, d)
		}
	}
	x.Shape = shape
	return x, ok
}

// broadcast is the shape in which two meet.
func broadcast(a, b []int) ([]int, bool) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		p, q := dim(a, len(out)-i), dim(b, len(out)-i)
		if out[i] = p; p == 1 {
			out[i] = q
		} else if p != q && q != 1 {
			return nil, false
		}
	}
	return out, true
}

// dim is a dimension counted from behind, from 1 on; 1 where there is none.
func dim(shape []int, fromEnd int) int {
	if fromEnd > len(shape) {
		return 1
	}
	return shape[len(shape)-fromEnd]
}

// spread repeats a tensor over a shape that it can be broadcast to.
func spread(x model.Tensor, shape []int) model.Tensor {
	v, from := view{shape: shape, strides: make([]int, len(shape))}, whole(x.Shape)
	for i := range shape {
		if at := len(x.Shape) - len(shape) + i; at >= 0 && x.Shape[at] != 1 {
			v.strides[i] = from.strides[at]
		}
	}
	return v.of(x)
}

// axisOf is a place among size, where a negative one counts from behind.
func axisOf(at int64, size int) (int, bool) {
	if at < 0 {
		at += int64(size)
	}
	return int(at), at >= 0 && at < int64(size)
}

// count is how many elements a shape has; math.MaxInt for too many to count.
func count(shape []int) int {
	n := 1
	for _, d := range shape {
		if d != 0 && n > math.MaxInt32/d {
			n = math.MaxInt
			continue
		}
		if d == 0 {
			return 0
		}
		n *= d
	}
	return n
}

// lengths gives a tensor of dimensions.
func lengths(x model.Tensor) ([]int, bool) {
	list, ok := x.Integers()
	shape := make([]int, len(list))
	for i, d := range list {
		if d < 0 || d > math.MaxInt32 {
			return nil, false
		}
		shape[i] = int(d)
	}
	return shape, ok && len(x.Shape) == 1 && len(list) <= 8
}

// integers makes a tensor of int64.
func integers(shape []int, values []int64) model.Tensor {
	x := model.Tensor{DType: "I64", Shape: slices.Clone(shape)}
	for _, v := range values {
		x.Data = binary.LittleEndian.AppendUint64(x.Data, uint64(v))
	}
	return x
}
