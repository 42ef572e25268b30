//go:build race

package store_test

// raceDetector is set in builds with -race. There tests must not cause errors of goleveldb's compaction: after one,
// goleveldb closes a channel that another goroutine may be sending to, and recovers, which the detector reports.
const raceDetector = true
