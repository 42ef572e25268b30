package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// names of files in the log
const (
	segmentSuffix = ".seg"
	spareSuffix   = ".spare"      // to be written over
	damagedSuffix = ".damaged"    // a segment whose header can't be read
	newName       = "new.tmp"     // becomes a segment
	compactName   = "compact.tmp" // replaces segments

	spareFiles = 3
)

func segmentName(number uint64) string { return fmt.Sprintf("%012d%s", number, segmentSuffix) }

// list returns the segments, by rising numbers, and removes what is left of work that was interrupted.
func (s *Store) list() ([]*found, error) {
	entries, err := s.o.Disk.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var list []*found
	through := uint64(0) // the highest number that a segment before replaces
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		number, isSegment := numberOf(e.Name(), segmentSuffix)
		spare, isSpare := numberOf(e.Name(), spareSuffix)
		switch {
		case e.Name() == newName, e.Name() == compactName, isSpare && len(s.spares) == spareFiles:
			err = s.o.Disk.Remove(path)
		case isSpare:
			s.spares, s.spareName = append(s.spares, path), max(s.spareName, int(spare))
		case isSegment:
			s.last = max(s.last, number)
			var f *found
			if f, err = s.find(path, number, through); f != nil {
				list = append(list, f)
				through = f.through
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for i := 1; i < len(list); i++ {
		if b := list[i].before; b.mark == list[i-1].mark {
			list[i-1].limit = b.end
		}
	}
	return list, nil
}

// find opens the segment at path. It returns nil if there is nothing to be read in it.
func (s *Store) find(path string, number, through uint64) (*found, error) {
	f := &found{path: path}
	err := f.open(s.o.Disk)
	switch {
	case errors.Is(err, errHeader):
		s.index.damaged++
		s.log.WithError(err).Warnf("a segment of store %s can't be read, leaving it out", s.o.Dir)
		return nil, s.o.Disk.Rename(path, strings.TrimSuffix(path, segmentSuffix)+damagedSuffix)
	case err != nil:
		return nil, err
	case f.number != number, number <= through:
		// A spare that has its name of before again, after a power loss; or compaction has put it into another segment.
		return nil, s.o.Disk.Remove(path)
	}
	return f, nil
}

func numberOf(name, suffix string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}
