package ingest

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// skips collects what the containers leave out, and, of a job, what is met in archives
// that are listed only when they are read. It is for many goroutines.
type skips struct {
	mu   sync.Mutex
	list []source.Skip // Container is the place in containers.list
}

func (s *skips) add(container int, k source.Skip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.Container = int32(container)
	s.list = append(s.list, k)
}

// reset forgets what a container left out, before it is read again.
func (s *skips) reset(container int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(k source.Skip) bool { return int(k.Container) == container })
}

// forget forgets what was met while a container was looked into, beside what it
// left out when it was opened.
func (s *skips) forget(i int, c *container) {
	if c.info.Sequential {
		s.reset(i)
		return
	}
	archives := map[string]bool{}
	for k := range c.entries {
		if c.entries[k].Archive {
			archives[c.entries[k].Name] = true
		}
	}
	if len(archives) > 0 {
		s.take(i, archives)
	}
}

// forgetOf forgets what was left out of a source by a name that is meant.
func (s *skips) forgetOf(c *containers, given string, meant func(name string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(k source.Skip) bool { return c.list[k.Container].info.Given == given && meant(k.Name) })
}

// take gives what was left out of archives of a container, by their names, and
// forgets it.
func (s *skips) take(container int, archives map[string]bool) []source.Skip {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []source.Skip
	s.list = slices.DeleteFunc(s.list, func(k source.Skip) bool {
		if int(k.Container) != container {
			return false
		}
		for at := 0; ; {
			n := strings.IndexByte(k.Name[at:], '/')
			if n < 0 {
				return false
			}
			if at += n; archives[k.Name[:at]] {
				out = append(out, k)
				return true
			}
			at++
		}
	})
	return out
}

// all gives what was left out of the containers that hold images.
func (s *skips) all(c *containers) []layout.Skipped {
	return s.of(func(container int) bool { return c.list[container].auxiliary == images })
}

// of gives what was left out of some containers, by their places.
func (s *skips) of(wanted func(container int) bool) []layout.Skipped {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []source.Skip
	for _, k := range s.list {
		if wanted(int(k.Container)) {
			out = append(out, k)
		}
	}
	return skipped(out)
}

// keptNames is how many names are kept of each reason.
const keptNames = 5

// skipped counts by reason.
func skipped(list []source.Skip) []layout.Skipped {
	var out []layout.Skipped
	for _, k := range list {
		out = mergeSkips(out, []layout.Skipped{{Reason: k.Reason, Count: 1, Images: k.Image, Names: []string{k.For()}, Doubt: k.Doubt()}})
	}
	return out
}

// mergeSkips adds up what was left out, by reason. The names kept are the first
// in order.
func mergeSkips(lists ...[]layout.Skipped) []layout.Skipped {
	var out []layout.Skipped
	for _, k := range slices.Concat(lists...) {
		at, found := slices.BinarySearchFunc(out, k, compareSkips)
		if !found {
			k.Names = slices.Clone(k.Names)
			out = slices.Insert(out, at, k)
			continue
		}
		o := &out[at]
		o.Count += k.Count
		o.Names = slices.Concat(o.Names, k.Names)
		slices.Sort(o.Names)
		o.Names = o.Names[:min(len(o.Names), keptNames)]
	}
	return out
}

func compareSkips(a, b layout.Skipped) int {
	images := func(s layout.Skipped) int {
		if s.Images {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(images(a), images(b)), cmp.Compare(a.Reason, b.Reason))
}
