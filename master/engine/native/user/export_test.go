//go:build unix

package user

// Begin is begin, for tests.
func (r *Registry) Begin(path string) (end func()) { return r.begin(path) }
