package setup

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/synshard/synshard/internal/regular"
)

// PipSettings are where pip is told to look for packages, by its variables and
// then its files.
type PipSettings struct {
	Index string   // "" where nothing says it
	Dirs  []string // directories that --find-links names
}

const mostPipFile = 1 << 20 // bytes

// Pip reads pip's settings. env is os.Getenv.
func Pip(env func(string) string) PipSettings {
	p := PipSettings{Index: env("PIP_INDEX_URL"), Dirs: directories(env("PIP_FIND_LINKS"))}
	for _, path := range pipFiles(env) {
		text, err := regular.ReadFile(path, mostPipFile)
		if err != nil {
			continue // pip passes over it, too
		}
		s := parsePip(string(text))
		if p.Index == "" {
			p.Index = s["index-url"]
		}
		if p.Dirs == nil {
			p.Dirs = directories(s["find-links"])
		}
	}
	return p
}

// pipFiles are pip's files, the one that wins first.
func pipFiles(env func(string) string) []string {
	var files []string
	switch f := env("PIP_CONFIG_FILE"); f {
	case "":
	case os.DevNull: // no file at all
		return nil
	default:
		files = append(files, f)
	}
	if venv := env("VIRTUAL_ENV"); venv != "" {
		files = append(files, filepath.Join(venv, "pip.conf"))
	}
	home, config := env("HOME"), env("XDG_CONFIG_HOME")
	if config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		files = append(files, filepath.Join(config, "pip", "pip.conf"))
	}
	if home != "" {
		files = append(files, filepath.Join(home, ".pip", "pip.conf"))
	}
	return append(files, "/etc/xdg/pip/pip.conf", "/etc/pip.conf")
}

// parsePip reads the settings of sections global and download; those of the
// latter win. A value may go on in lines that begin with a space.
func parsePip(text string) map[string]string {
	sections := map[string]map[string]string{"global": {}, "download": {}}
	var in map[string]string
	key := ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		bare := strings.TrimSpace(line)
		switch {
		case bare == "", strings.HasPrefix(bare, "#"), strings.HasPrefix(bare, ";"):
		case strings.HasPrefix(bare, "["):
			in, key = sections[strings.Trim(bare, "[]")], ""
		case in == nil:
		case line[0] == ' ' || line[0] == '\t':
			if key != "" {
				in[key] += "\n" + bare
			}
		default:
			n := strings.IndexAny(bare, "=:")
			if n < 0 {
				continue
			}
			key = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(bare[:n])), "_", "-")
			in[key] = strings.TrimSpace(bare[n+1:])
		}
	}
	merged := sections["global"]
	for k, v := range sections["download"] {
		merged[k] = v
	}
	return merged
}

// directories are those of a list of links that are directories here.
func directories(links string) []string {
	var dirs []string
	for _, l := range strings.Fields(links) {
		if path := strings.TrimPrefix(l, "file://"); filepath.IsAbs(path) {
			dirs = append(dirs, path)
		}
	}
	return dirs
}

// IndexOrDefault is Index or, where nothing names one, the index that pip asks then; "" without
// pip.
func (p PipSettings) IndexOrDefault(ctx context.Context) string {
	if p.Index != "" {
		return p.Index // asking takes a process
	}
	return pipDefault(ctx)
}

func pipDefault(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "-P", "-c",
		"from pip._internal.models.index import PyPI; print(PyPI.simple_url)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
