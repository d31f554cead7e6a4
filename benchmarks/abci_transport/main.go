// Drives an ABCI application with CometBFT's own client and prints what it carried, as JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	abcicli "github.com/cometbft/cometbft/abci/client"
	"github.com/cometbft/cometbft/abci/types"
)

func main() {
	transport := flag.String("transport", "socket", "socket or grpc")
	address := flag.String("address", "", "where the application listens, e.g. unix:///tmp/abci.sock")
	count := flag.Int("count", 20_000, "CheckTx calls with callers side by side; a tenth of them one after another")
	callers := flag.Int("callers", 64, "how many ask at once, as the mempool's callers do")
	size := flag.Int("size", 250, "bytes of a transaction")
	flag.Parse()
	if err := run(*transport, *address, *count, *callers, *size); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(transport, address string, count, callers, size int) error {
	client, err := abcicli.NewClient(address, transport, true)
	if err != nil {
		return err
	}
	client.SetResponseCallback(func(*types.Request, *types.Response) {})
	if err := client.Start(); err != nil {
		return err
	}
	request := &types.RequestCheckTx{Tx: make([]byte, size)}
	ctx := context.Background()

	together := func() error {
		var answered sync.WaitGroup
		answered.Add(count)
		client.SetResponseCallback(func(request *types.Request, _ *types.Response) {
			if request.GetCheckTx() != nil {
				answered.Done()
			}
		})
		failed := make(chan error, callers)
		for caller := range callers {
			go func() {
				for range (count + callers - 1 - caller) / callers {
					if _, err := client.CheckTxAsync(ctx, request); err != nil {
						failed <- err
						return
					}
				}
			}()
		}
		done := make(chan struct{})
		go func() { answered.Wait(); close(done) }()
		select {
		case err := <-failed:
			return err
		case <-done:
			return client.Flush(ctx)
		}
	}
	inTurn := func() error {
		for range count / 10 {
			if _, err := client.CheckTx(ctx, request); err != nil {
				return err
			}
		}
		return nil
	}

	rates := map[string]float64{}
	for _, phase := range []struct {
		name  string
		calls int
		run   func() error
	}{{"in_turn_per_second", count / 10, inTurn}, {"together_per_second", count, together}} {
		started := time.Now()
		if err := phase.run(); err != nil {
			return fmt.Errorf("%s over %s: %w", phase.name, transport, err)
		}
		rates[phase.name] = float64(phase.calls) / time.Since(started).Seconds()
	}
	return json.NewEncoder(os.Stdout).Encode(rates)
}
