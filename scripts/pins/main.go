// Pins makes a line of setup/pins.txt: the sha256 of a wheel's list of files (RECORD).
//
//	go run ./scripts/pins GROUP NAME VERSION MACHINE [INDEX]
//
// INDEX is a package index's simple API; without it the one that setup would ask.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/synshard/synshard/setup"
	"github.com/synshard/synshard/setup/wheel"
)

func main() {
	if len(os.Args) < 5 || len(os.Args) > 6 {
		fmt.Fprintln(os.Stderr, "usage: pins GROUP NAME VERSION MACHINE [INDEX]")
		os.Exit(2)
	}
	if err := pin(context.Background(), os.Args[1:5], os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, "pins:", err)
		os.Exit(1)
	}
}

// pin prints the line.
func pin(ctx context.Context, of, index []string) error {
	work, err := os.MkdirTemp("", "pins")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	places := wheel.Places{Work: work}
	if len(index) > 0 {
		places.Index = index[0]
	} else {
		places.Index = setup.Pip(os.Getenv).IndexOrDefault(ctx)
	}
	p := wheel.Pin{Group: of[0], Name: of[1], Version: of[2], Machine: of[3]}
	if p.Record, err = places.RecordSum(ctx, p); err != nil {
		return err
	}
	fmt.Println(p.Group, p.Name, p.Version, p.Machine, p.Record)
	return nil
}
