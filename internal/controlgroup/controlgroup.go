// Package controlgroup finds the control groups that this process is in, of either
// version, which bound what it may use.
package controlgroup

import (
	"bytes"
	"path"
	"strings"

	"github.com/synshard/synshard/internal/regular"
)

// Group is the directory of a group.
type Group struct {
	Dir     string // its path, below /sys/fs/cgroup
	Version int    // 1 or 2
}

// Read reads a file of the group; "" where there is none.
func (g Group) Read(file string) string {
	text, err := regular.ReadFile(path.Join(g.Dir, file), regular.Document)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Of lists the groups that this process is in for a controller (memory, cpu), and
// those above them, whose bounds hold too.
func Of(controller string) []Group {
	text, err := regular.ReadFile("/proc/self/cgroup", regular.Document)
	if err != nil {
		return nil
	}
	return In("/sys/fs/cgroup", text, controller)
}

// In is Of by the text of a /proc/PID/cgroup and a tree that stands for
// /sys/fs/cgroup.
func In(root string, cgroup []byte, controller string) []Group {
	var out []Group
	for line := range bytes.Lines(cgroup) {
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(fields) != 3 {
			continue
		}
		dir, version := root, 2
		if fields[1] != "" {
			if !strings.Contains(","+fields[1]+",", ","+controller+",") {
				continue
			}
			dir, version = path.Join(root, controller), 1
		}
		for at := path.Clean("/" + fields[2]); ; at = path.Dir(at) {
			out = append(out, Group{path.Join(dir, at), version})
			if at == "/" {
				break
			}
		}
	}
	return out
}
