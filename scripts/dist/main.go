// Command dist does what scripts/dist.sh needs Go for:
//
//	dist libtorch -arch ARCH -kind cpu|cuda -cache DIR
//
// brings the pinned libtorch of an architecture and prints its version, its directory, the
// name of an engine that is built against it and the place where that will find it.
//
//	dist sbom -bom BOM [-add TYPE:NAME:VERSION:PURL]...
//
// adds components to a CycloneDX document which are linked in, or come along, and are no
// Go modules.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/setup"
	"github.com/synshard/synshard/setup/wheel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "libtorch":
			return libtorch(ctx, args[1:])
		case "sbom":
			return sbom(args[1:])
		}
	}
	return errors.New("want libtorch or sbom")
}

// libtorch brings a libtorch.
func libtorch(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("libtorch", flag.ExitOnError)
	arch := f.String("arch", "", "amd64 or arm64")
	kind := f.String("kind", "cpu", "cpu or cuda")
	cache := f.String("cache", "", "directory for what is brought")
	if err := f.Parse(args); err != nil {
		return err
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[*arch]
	if machine == "" || *kind != "cpu" && *kind != "cuda" || *cache == "" || f.NArg() > 0 {
		return errors.New("libtorch: want -arch amd64 or arm64, -kind cpu or cuda, -cache DIR")
	}
	pip := setup.Pip(os.Getenv)
	p, err := setup.Libtorch(ctx, setup.Options{
		Cache: *cache, Machine: machine, CUDA: *kind == "cuda", Wheels: wheel.Places{Dirs: pip.Dirs, Index: pip.IndexOrDefault(ctx)},
		Say: func(_ setup.Part, words string) { fmt.Fprintln(os.Stderr, "dist: libtorch "+*arch+":", words) },
	})
	if err != nil {
		return err
	}
	_, err = fmt.Println(p.Version, p.Dir, setup.PrebuiltName(p.Version, p.Kind), setup.PrebuiltPlace(p.Version, p.Kind))
	return err
}

// A component is one of a CycloneDX document.
type component struct {
	Ref     string `json:"bom-ref"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
}

// sbom adds components.
func sbom(args []string) error {
	f := flag.NewFlagSet("sbom", flag.ExitOnError)
	path := f.String("bom", "", "the document, in JSON, which is written to")
	var added []component
	f.Func("add", "TYPE:NAME:VERSION:PURL", func(s string) error {
		p := strings.SplitN(s, ":", 4)
		if len(p) != 4 {
			return errors.New("want TYPE:NAME:VERSION:PURL")
		}
		added = append(added, component{p[3], p[0], p[1], p[2], p[3]})
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	text, err := regular.ReadFile(*path, regular.Document)
	if err != nil {
		return err
	}
	var bom map[string]any // keys in the order of their names: the same bytes each time
	if err := json.Unmarshal(text, &bom); err != nil {
		return fmt.Errorf("%s: %w", *path, err)
	}
	components, ok := bom["components"].([]any)
	if !ok {
		return fmt.Errorf("%s: no components in it", *path)
	}
	for _, c := range added {
		components = append(components, c)
	}
	bom["components"] = components
	return durable.WriteFile(*path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(bom)
	})
}
