package onnx

import "math"

// batchNorm is a batch norm's constants, one a channel: y = scale (x - mean) /
// sqrt(variance + eps) + shift.
type batchNorm struct {
	scale, shift, mean, variance []float32
	eps                          float64
}

// into folds the batch norm into the convolution before it, in place: weight
// is [channels, ...] and bias [channels]. With k = scale / sqrt(variance +
// eps), w' = w k and b' = (b - mean) k + shift, in float64 (Ioffe and Szegedy,
// "Batch Normalization", arXiv:1502.03167, algorithm 2). prepare in
// train/torch/shim/predict.cpp does the same with libtorch's tensors, for predictions by
// the training engine; TestInferEngineTorch of cmd/synshard holds the two equal.
func (n *batchNorm) into(weight, bias []float32) {
	per := len(weight) / len(bias)
	for c := range bias {
		k := float64(n.scale[c]) / math.Sqrt(float64(n.variance[c])+n.eps)
		for i := c * per; i < (c+1)*per; i++ {
			weight[i] = float32(float64(weight[i]) * k)
		}
		bias[c] = float32((float64(bias[c])-float64(n.mean[c]))*k + float64(n.shift[c]))
	}
}
