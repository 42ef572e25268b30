//go:build race

package store_test

// raceDetector is set where goleveldb may not be driven into errors of its compaction: there it closes a channel that
// another goroutine may be sending to, on purpose, and recovers. The detector takes that for a race of ours.
const raceDetector = true
