package logs

// Watches tells whether the system is asked to tell of changes.
func (l *Logs) Watches() bool {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	return l.watch.stop != nil
}
