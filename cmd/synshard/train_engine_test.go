package main

import "testing"

// TestEvenly: what --batch auto means on the CPU goes into any number of microbatches.
func TestEvenly(t *testing.T) {
	for _, c := range []struct{ most, microbatches, want int }{{32, 1, 32}, {32, 5, 30}, {3, 8, 8}, {1, 1, 1}} {
		if got := evenly(c.most, c.microbatches); got != c.want {
			t.Errorf("at most %d in %d microbatches: %d, want %d", c.most, c.microbatches, got, c.want)
		}
	}
}
