// Tessera's POSIX log in one process, appended to as Chancery's journal is in `benches/rows/journal.rs`.
//
//	tessera DIR default|tuned|quick SECONDS RATE
//
// With a RATE of 0 as fast as many callers can, else so many entries a second. Prints one line: entries/s that were
// integrated, and p50 and p99 in ms from an Add to the first checkpoint over it.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const entryBytes = 400

type added struct {
	index uint64
	at    time.Time
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("tessera DIR default|tuned|quick SECONDS RATE")
	}
	dir, mode := os.Args[1], os.Args[2]
	seconds, err := strconv.Atoi(os.Args[3])
	check(err)
	rate, err := strconv.Atoi(os.Args[4])
	check(err)

	secret, _, err := note.GenerateKey(rand.Reader, "example.com/bench")
	check(err)
	signer, err := note.NewSigner(secret)
	check(err)
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer)
	callers := 2048
	switch mode {
	case "tuned":
		options = options.WithBatching(1024, 100*time.Millisecond).
			WithCheckpointInterval(time.Second).WithPushback(16384)
		callers = 8192
	case "quick":
		options = options.WithBatching(256, 5*time.Millisecond).
			WithCheckpointInterval(100 * time.Millisecond)
	}
	ctx := context.Background()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	check(err)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	check(err)

	var count atomic.Uint64
	var lock sync.Mutex
	var waiting []added
	add := func() {
		entry := make([]byte, entryBytes)
		_, _ = rand.Read(entry)
		at := time.Now()
		index, err := appender.Add(ctx, tessera.NewEntry(entry))()
		for errors.Is(err, tessera.ErrPushback) {
			// This caller tries again; it waits since its first attempt.
			time.Sleep(time.Millisecond)
			index, err = appender.Add(ctx, tessera.NewEntry(entry))()
		}
		check(err)
		count.Add(1)
		if rate > 0 {
			lock.Lock()
			waiting = append(waiting, added{index.Index, at})
			lock.Unlock()
		}
	}

	published := make(chan []float64)
	stop := make(chan struct{})
	go watch(ctx, reader, &lock, &waiting, stop, published)
	began := time.Now()
	end := began.Add(time.Duration(seconds) * time.Second)
	var all sync.WaitGroup
	if rate == 0 {
		for range callers {
			all.Go(func() {
				for time.Now().Before(end) {
					add()
				}
			})
		}
	} else {
		for tick := 0; time.Now().Before(end); tick++ {
			time.Sleep(time.Until(began.Add(time.Duration(tick) * 10 * time.Millisecond)))
			for range rate / 100 {
				all.Go(add)
			}
		}
	}
	all.Wait()
	elapsed := time.Since(began).Seconds()
	check(shutdown(ctx))
	// The last checkpoint is there now.
	time.Sleep(100 * time.Millisecond)
	close(stop)
	latencies := <-published
	slices.Sort(latencies)
	at := func(part float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[int(part*float64(len(latencies)-1))]
	}
	fmt.Printf("%.0f %.1f %.1f\n", float64(count.Load())/elapsed, at(0.5), at(0.99))
}

// watch looks at the checkpoint every 2 ms and notes how long those waited that it covers.
func watch(ctx context.Context, reader tessera.LogReader, lock *sync.Mutex, waiting *[]added, stop chan struct{}, done chan []float64) {
	var latencies []float64
	for {
		select {
		case <-stop:
			done <- latencies
			return
		case <-time.After(2 * time.Millisecond):
		}
		text, err := reader.ReadCheckpoint(ctx)
		if err != nil {
			continue
		}
		lines := strings.SplitN(string(text), "\n", 3)
		size, err := strconv.ParseUint(lines[1], 10, 64)
		check(err)
		now := time.Now()
		lock.Lock()
		*waiting = slices.DeleteFunc(*waiting, func(one added) bool {
			if one.index >= size {
				return false
			}
			latencies = append(latencies, float64(now.Sub(one.at).Microseconds())/1000)
			return true
		})
		lock.Unlock()
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
