package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/memory"
	"github.com/synshard/synshard/pixel"
)

// memorySize is --memory: bytes, 0 for the default.
type memorySize int64

// units of a size, by what they are called in lower case.
var units = map[string]int64{
	"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1e3, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

const leastMemory = 1 << 20

// memoryVar adds --memory to a verb that decodes images.
func memoryVar(cmd *cobra.Command) {
	cmd.Flags().Var(new(memorySize), "memory", "memory that batches of pixels and decoding images take, all workers together (default: half of what the process may use)")
}

func (m *memorySize) String() string {
	if *m == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*m), 10)
}

func (m *memorySize) Type() string { return "size" }

func (m *memorySize) Set(s string) error {
	digits := strings.TrimRight(s, "bBiIkKmMgGtT ")
	n, err := strconv.ParseFloat(digits, 64)
	unit, known := units[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	if n *= float64(unit); err != nil || !known || !(n >= leastMemory && n < math.MaxInt64) {
		return fmt.Errorf("want a size of a MiB or more, as 512MiB or 4GiB")
	}
	*m = memorySize(n)
	return nil
}

// setMemory gives the batches and decoders of a verb their bound.
func setMemory(cmd *cobra.Command) {
	f := cmd.Flags().Lookup("memory")
	if f == nil {
		return
	}
	size, ok := f.Value.(*memorySize)
	if !ok {
		return // model describe's, which decodes nothing
	}
	n := int64(*size)
	if n == 0 {
		n = memory.Limit() / 2
		if procs, err := cmd.Flags().GetInt("procs"); err == nil && procs > 1 {
			n /= int64(procs) // each process has a share
		}
		n = max(n, leastMemory)
	}
	pixel.SetMemory(n)
}
