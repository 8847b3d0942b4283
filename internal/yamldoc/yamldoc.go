// Package yamldoc reads YAML that people write: recipes, settings, dataset
// cards. The reader below it has no bounds of its own and takes memory by the
// square of what stands in each other; here a text has bounds before it is
// read, and what they refuse no such text has.
package yamldoc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

const (
	maxBytes   = 1 << 20
	maxTokens  = 20_000
	maxNesting = 100
	maxAliases = 10 // three of three of three of them stand for little yet
)

// Decode reads the one document in text into v; of strict, keys that v has not
// are an error. Errors are a line that names the place.
func Decode(text []byte, v any, strict bool) error {
	if err := check(string(text)); err != nil {
		return err
	}
	var o []yaml.DecodeOption
	if strict {
		o = append(o, yaml.Strict())
	}
	if err := unmarshal(text, v, o); err != nil {
		// What follows the first line is a drawing of the source.
		line, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return errors.New(line)
	}
	return nil
}

// unmarshal is the reader's, which panics at some values that its tags or the type
// they go to do not allow.
func unmarshal(text []byte, v any, o []yaml.DecodeOption) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a value that is not of the kind that is wanted there, or of its tag's: %v", r)
		}
	}()
	return yaml.UnmarshalWithOptions(text, v, o...)
}

// check holds a text to the bounds, by its tokens.
func check(text string) error {
	if len(text) > maxBytes {
		return fmt.Errorf("%d bytes of YAML, more than the %d that are read", len(text), maxBytes)
	}
	tokens := lexer.Tokenize(text)
	if len(tokens) > maxTokens {
		return fmt.Errorf("%d words and marks of YAML, more than the %d that are read", len(tokens), maxTokens)
	}
	flows, aliases := 0, 0
	onLine, line := 0, 0 // marks that nest without a bracket or an indent
	directive := 0
	content, ended := 0, false // what stands in the document
	for _, t := range tokens {
		at := t.Position
		if at.Line != line {
			line, onLine = at.Line, 0
		}
		switch t.Type {
		case token.CommentType:
			continue
		case token.DirectiveType:
			directive = line
			continue
		case token.DocumentHeaderType:
			if content > 0 || ended {
				return fmt.Errorf("[%d:%d] a second document begins; one is read", at.Line, at.Column)
			}
			ended = false
			content++
			continue
		case token.DocumentEndType:
			ended = true
			continue
		case token.SequenceStartType, token.MappingStartType:
			flows++
		case token.SequenceEndType, token.MappingEndType:
			flows--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			onLine++
		case token.AliasType:
			aliases++
		}
		if line == directive {
			continue
		}
		if ended {
			return fmt.Errorf("[%d:%d] a second document begins; one is read", at.Line, at.Column)
		}
		content++
		if flows > maxNesting || onLine > maxNesting {
			return fmt.Errorf("[%d:%d] more than %d lists or maps in each other", at.Line, at.Column, maxNesting)
		}
		if aliases > maxAliases {
			return fmt.Errorf("[%d:%d] more than %d aliases", at.Line, at.Column, maxAliases)
		}
	}
	return nil
}
