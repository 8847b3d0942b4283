package main

// precisions are the values of --precision; auto goes by the device.
var precisions = []string{"auto", "fp32", "tf32", "bf16", "fp16"}
