// Package raced lets tests leave out what the race detector would look at in vain: it
// makes Go code some ten times slower, and tells nothing of what one goroutine does.
package raced

import "testing"

// Skip skips a test, or a part of one, while the race detector watches. why says what
// leaves nothing to be found: that one goroutine does it all, or where the same is watched.
func Skip(t testing.TB, why string) {
	t.Helper()
	if Enabled {
		t.Skip("under the race detector: " + why)
	}
}
