package store

import (
	"context"
	"time"
)

// Maintain does once what Run does in the background.
func (s *Store) Maintain() {
	s.considered = time.Time{}
	s.maintain(context.Background())
}
