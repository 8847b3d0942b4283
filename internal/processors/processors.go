// Package processors says how many processors there are to share out.
package processors

import "runtime"

var count = runtime.GOMAXPROCS(0)

// Count is how many processors this process may use: Go's own number as the
// process began, which keeps to affinity and to the limits of control groups.
func Count() int { return count }

// Limit is for the program to call, once and first, where something else than the
// system says how many processors are this process's.
func Limit(n int) { count = min(count, max(n, 1)) }

// Spare gives Go's scheduler two places more than there are processors. Work
// here is done in C, in calls of a millisecond, and Count workers do it. With as
// many places the scheduler would take each from a call that lasts, to nobody's
// use, and spend a tenth of a processor on that; while one is free it waits.
// For the program to call, once.
func Spare() { runtime.GOMAXPROCS(count + 2) }
