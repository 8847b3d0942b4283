package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/web/explore"
	"github.com/synshard/synshard/web/serve"
	"github.com/synshard/synshard/wordnet"
)

// serveOptions are serve's flags.
type serveOptions struct {
	addr, token      string
	hosts            []string
	wordnet, classes string
	noWordNet        bool
	heat, ortLib     string
}

// AddFlags adds them to the verb.
func (o *serveOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.addr, "addr", "127.0.0.1:0", "address and port to answer on; port 0 is any that is free")
	f.StringVar(&o.token, "token", "", "what whoever looks must know (default: none on this machine alone, else a new one in the address that is printed)")
	f.StringArrayVar(&o.hosts, "host", nil, "a name by which this machine is asked for, beside localhost, its own name and numbers; repeatable")
	f.BoolVar(&o.noWordNet, "no-wordnet", false, "classes as a list, without WordNet's tree")
	classesVar(cmd, &o.classes, "for text that came without its .meta.json, the model's "+classesUsage)
	f.StringVar(&o.heat, "heat", "", "the ONNX model that made the predictions: pages show where in an image it looked")
	f.StringVar(&o.ortLib, "ort-lib", "", "ONNX Runtime's library, for --heat (default: see 'synshard doctor')")
	wordnetVar(cmd, &o.wordnet)
	memoryVar(cmd)
	cmd.MarkFlagsMutuallyExclusive("wordnet", "no-wordnet")
}

func newServeCmd(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve DATASET [PREDICTIONS]",
		Short: "Look at a dataset and at mistakes in a browser",
		Long: `Shows a dataset in a browser, read only: WordNet's tree with counts, a synset's
words, gloss and images, an image with its boxes and where it came from; and with
predictions what was taken for what, by synset and by subtree, a confusion matrix
that folds along the tree and, where embeddings were predicted, images alike. With
--heat an image's page shows where the model looked. It prints its address and
answers until a signal ends it (exit 130); predictions are read meanwhile, and end
it if they are damaged (exit 4). On any address but this machine's own a token is
needed, which is in the address that it prints.`,
		Example: `  synshard serve imagenet
  synshard serve imagenet runs/a/val.arrow --addr 127.0.0.1:8080
  synshard serve imagenet runs/a/val.arrow --heat runs/a/model.onnx
  synshard serve s3://bucket/imagenet --addr 0.0.0.0:8080`,
		Args: exactly(1, 2, "a dataset, and a file of predictions"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runServe(cmd.Context(), args, o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// check refuses what has no effect.
func (o *serveOptions) check(predictions bool) error {
	_, _, err := net.SplitHostPort(o.addr)
	switch {
	case err != nil:
		return usagef("--addr %q: want an address and a port, as 127.0.0.1:8080", o.addr)
	case !predictions && o.classes != "":
		return usagef("--classes has no effect without predictions")
	case !predictions && o.heat != "":
		return usagef("--heat has no effect without predictions")
	case o.heat == "" && o.ortLib != "":
		return usagef("--ort-lib has no effect without --heat")
	}
	return nil
}

func (a *app) runServe(ctx context.Context, args []string, o serveOptions) error {
	if err := o.check(len(args) > 1); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr) // first: a port that is taken is told before the work
	if err != nil {
		return err
	}
	defer l.Close()
	if o.token == "" && !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		o.token = serve.NewToken()
	}
	set, err := a.openSet(args[0])
	if err != nil {
		return err
	}
	defer set.Close()
	e, err := a.openExplorer(set, o)
	if err != nil {
		return err
	}
	defer e.Close()
	p, err := a.openPredictions(e, args[1:], o)
	if err != nil {
		return err
	}
	show := serve.Options{Explorer: e, Name: ui.Text(datasetName(args[0])), Token: o.token, Hosts: append(ownNames(), o.hosts...),
		OnError: func(request string, err error) { a.Warnf("%s: %v", request, err) }}
	if len(args) > 1 {
		show.Predictions = a.remote.paths.Shown(args[1])
	}
	if o.heat != "" {
		m, heat, err := a.openHeat(p, show.Predictions, o)
		if err != nil {
			return err
		}
		defer m.Close()
		show.Heat = heat
	}
	for i, name := range show.Hosts {
		show.Hosts[i] = strings.ToLower(name)
	}
	if err := a.tellAddress(l.Addr(), o.token); err != nil {
		return err
	}
	return a.serve(ctx, l, show, p)
}

// serve shows pages, and reads predictions, if there are any, meanwhile.
func (a *app) serve(ctx context.Context, l net.Listener, show serve.Options, p *explore.Predictions) error {
	g, ctx := errgroup.WithContext(ctx)
	if p != nil {
		g.Go(func() error { return a.readPredictions(ctx, p) })
	}
	g.Go(func() error { return serve.Run(ctx, l, serve.Handler(show)) })
	return g.Wait()
}

// openExplorer opens what is shown.
func (a *app) openExplorer(set *shard.Dataset, o serveOptions) (*explore.Explorer, error) {
	var g *wordnet.Graph
	if !o.noWordNet {
		var err error
		if g, err = a.wordNetOrWithout(o.wordnet, "WordNet's tree"); err != nil {
			return nil, err
		}
	}
	return explore.Open(set, g)
}

// openPredictions opens those that are shown; nil: there are none.
func (a *app) openPredictions(e *explore.Explorer, path []string, o serveOptions) (*explore.Predictions, error) {
	if len(path) == 0 {
		return nil, nil
	}
	var classes []string
	if o.classes != "" {
		list, err := a.readClasses("classes", o.classes)
		if err != nil {
			return nil, err
		}
		classes = list.Names
	}
	return e.OpenPredictions(path[0], classes)
}

// readPredictions reads predictions while pages are shown; what is wrong with them ends that.
func (a *app) readPredictions(ctx context.Context, p *explore.Predictions) error {
	if err := p.Read(ctx); err != nil {
		return err
	}
	a.Logf("%d predictions were read", p.Len())
	if p.Joined() < p.Len() {
		a.Logf("%d of %d predictions are of images that the dataset has", p.Joined(), p.Len())
	}
	return nil
}

// openHeat opens the model that made predictions, as it made them.
func (a *app) openHeat(p *explore.Predictions, shown string, o serveOptions) (*ort.Maps, *serve.Heat, error) {
	c, err := classifier.Describe(o.heat, classifier.Choice{})
	if err != nil {
		return nil, nil, ifWeights(o.heat, err)
	}
	switch {
	case p.Model == "" || p.Spec == nil:
		return nil, nil, usagef("--heat %s: %s does not say which model it is of, nor how images were made ready", o.heat, shown)
	case p.Model != c.Identity.Sum:
		return nil, nil, usagef("--heat %s: it is not the model that made %s", o.heat, shown)
	}
	lib, err := a.findORT(o.ortLib)
	if err != nil {
		return nil, nil, err
	}
	m, err := ort.OpenMaps(ort.Options{Library: lib, Model: o.heat, Threads: processors.Count(), Spec: *p.Spec, Contract: c})
	if err != nil {
		return nil, nil, unfit(err)
	}
	s := p.Spec
	return m, &serve.Heat{Model: p.Model, Of: m.Of,
		Eval: pixel.Eval{Size: s.InputSize, Resize: s.Resize, Interpolation: s.Interpolation, Square: s.Square}}, nil
}

// ownNames are what this machine calls itself.
func ownNames() []string {
	name, err := os.Hostname()
	if err != nil {
		return nil
	}
	return []string{name}
}

// tellAddress prints what to open.
func (a *app) tellAddress(at net.Addr, token string) error {
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		if host = "localhost"; len(ownNames()) > 0 {
			host = ownNames()[0]
		}
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/"}
	if token != "" {
		u.RawQuery = url.Values{"token": {token}}.Encode()
	}
	return a.Result(struct {
		URL string `json:"url"`
	}{u.String()}, func(w io.Writer) { fmt.Fprintln(w, u.String()) })
}
