//go:build race

package raced

// Enabled says whether the race detector watches.
const Enabled = true
