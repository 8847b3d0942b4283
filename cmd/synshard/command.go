package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/storage"
)

// commandLine is a call as its user could type it again, word by word: the arguments, then
// every flag that was given, in the order of their names, whether on the command line, in
// the environment or in the user's file. Of URLs the options are left out, and of a server's
// address all but the host: they may be signatures and passwords. Secrets that come by
// variables of their own are no flags.
func commandLine(cmd *cobra.Command, args []string) []string {
	verb := verbOf(cmd)
	words := append([]string{cmd.Root().Name()}, strings.Fields(verb)...)
	for _, arg := range args {
		words = append(words, storage.Shown(arg))
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !settable(f) {
			return
		}
		for _, value := range valuesOf(f) {
			if useOf(verb, f.Name) == urlAddress {
				value = hostOf(value)
			}
			words = append(words, "--"+f.Name+"="+storage.Shown(value))
		}
	})
	return words
}

// valuesOf is what a flag was given, one by one where it may be repeated.
func valuesOf(f *pflag.Flag) []string {
	if list, ok := f.Value.(interface{ GetSlice() []string }); ok {
		return list.GetSlice()
	}
	if f.Value.Type() == "stringToString" {
		return []string{strings.Trim(f.Value.String(), "[]")}
	}
	return []string{f.Value.String()}
}

// hostOf is an address up to its host.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}
