package provenance

// How in-toto and SLSA call what follows, and the program that made what is told of.
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	builderID     = "https://github.com/synshard/synshard"
)

// madeBy is the fact that tells which programs made a thing.
const madeBy = "made by"

// Statement is in-toto's of a thing, with SLSA's provenance: in the terms of
// https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1. It is not signed.
type Statement struct {
	Type          string     `json:"_type"`         // in-toto's name of this
	Subject       []Resource `json:"subject"`       // the thing, then its files
	PredicateType string     `json:"predicateType"` // SLSA's name of the next
	Predicate     Predicate  `json:"predicate"`     // what is said of the subject
}

// Resource describes a thing, or a part or an input of one.
type Resource struct {
	Name        string            `json:"name"`                  // its path, or as the thing calls it
	Digest      map[string]string `json:"digest,omitempty"`      // by algorithm
	Annotations map[string]string `json:"annotations,omitempty"` // its kind, where it is at hand "at", and facts
}

// Predicate is SLSA's provenance.
type Predicate struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"` // from what
	RunDetails      RunDetails      `json:"runDetails"`      // by what
}

// BuildDefinition says what a thing was made from, and how.
type BuildDefinition struct {
	BuildType            string            `json:"buildType"`            // by the kind of thing
	ExternalParameters   map[string]string `json:"externalParameters"`   // facts: options, recipe, counts, commands
	ResolvedDependencies []Resource        `json:"resolvedDependencies"` // inputs
}

// RunDetails says what made it.
type RunDetails struct {
	Builder Builder `json:"builder"` // the program and its version
}

// Builder is the program.
type Builder struct {
	ID      string            `json:"id"`                // of the program
	Version map[string]string `json:"version,omitempty"` // under made_by, where it is recorded
}

// Statements are a chain's, one a thing, in its order.
func (c *Chain) Statements() []Statement {
	var out []Statement
	for i, t := range c.Things {
		s := Statement{Type: statementType, PredicateType: predicateType}
		s.Subject = append(s.Subject, resource(Input{Kind: t.Kind, Name: t.Path, Digest: t.Digest}))
		for _, f := range t.Files {
			f.Name = t.Path + "/" + f.Name
			s.Subject = append(s.Subject, resource(f))
		}
		s.Predicate.RunDetails.Builder.ID = builderID
		b := &s.Predicate.BuildDefinition
		b.BuildType, b.ExternalParameters, b.ResolvedDependencies = builderID+"/"+string(t.Kind), map[string]string{}, []Resource{}
		for _, f := range t.Facts {
			if f.Name == madeBy {
				s.Predicate.RunDetails.Builder.Version = map[string]string{"made_by": f.Value}
				continue
			}
			b.ExternalParameters[f.Name] = f.Value
		}
		for k, in := range t.From {
			r := resource(in)
			if n, ok := c.Found[[2]int{i, k}]; ok {
				r.Annotations["at"] = c.Things[n].Path
			}
			b.ResolvedDependencies = append(b.ResolvedDependencies, r)
		}
		out = append(out, s)
	}
	return out
}

func resource(in Input) Resource {
	r := Resource{Name: in.Name, Digest: in.Digest.Map(), Annotations: map[string]string{"kind": string(in.Kind)}}
	for _, f := range in.Facts {
		r.Annotations[f.Name] = f.Value
	}
	return r
}

// Map is the digest by its algorithm, as in-toto has it; nil: there is none.
func (d Digest) Map() map[string]string {
	if d.Value == "" {
		return nil
	}
	return map[string]string{d.Algorithm: d.Value}
}
