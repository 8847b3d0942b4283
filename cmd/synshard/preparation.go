package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/model"
)

// preparation is how images are made ready for a network, as far as flags say it.
type preparation struct {
	resize        int // 0: not said
	interpolation string
	mean, std     channelValues
}

// channelValues is a flag's number for each of red, green and blue, or one for all.
type channelValues []float64

func (c *channelValues) String() string { return strings.Join(c.GetSlice(), ",") }
func (c *channelValues) Type() string   { return "r,g,b" }
func (c *channelValues) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(word), 64)
		if err != nil {
			return errors.New("want a number, or three: 0.485,0.456,0.406")
		}
		*c = append(*c, v)
	}
	return nil
}

// GetSlice gives the numbers as they would be typed, each with all its digits.
func (c *channelValues) GetSlice() []string {
	var words []string
	for _, v := range *c {
		words = append(words, strconv.FormatFloat(v, 'g', -1, 64))
	}
	return words
}

// AddFlags adds them to a verb.
func (p *preparation) AddFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.IntVar(&p.resize, "resize", 0, "pixels of the shorter side before the centre is cut out")
	choiceVar(cmd, &p.interpolation, "interpolation", "", "bilinear or bicubic", "bilinear", "bicubic")
	fl.Var(&p.mean, "mean", "mean of red, green, blue, of pixels in [0,1], not 0 to 255; one number for all")
	fl.Var(&p.std, "std", "standard deviation of red, green, blue, of pixels in [0,1], not 0 to 255; one number for all")
}

// colours are --mean and --std, by channel; nil: not said.
func (p *preparation) colours() (mean, std *[3]float64, err error) {
	if mean, err = colours("mean", p.mean); err != nil {
		return nil, nil, err
	}
	if std, err = colours("std", p.std); err != nil {
		return nil, nil, err
	}
	if err := model.CheckColours(mean, std); err != nil {
		return nil, nil, usagef("--mean and --std: %w", err)
	}
	return mean, std, nil
}

// colours are a flag's numbers for red, green and blue, or one for all; nil for none.
func colours(flag string, v []float64) (*[3]float64, error) {
	switch len(v) {
	case 0:
		return nil, nil
	case 1:
		return &[3]float64{v[0], v[0], v[0]}, nil
	case 3:
		return (*[3]float64)(v), nil
	}
	return nil, usagef("--%s: %d numbers, want one or three", flag, len(v))
}
