//go:build unix

package keeper

// CheckState is what reads the state of a keeper before.
func CheckState(text []byte) error {
	s, err := decodeState(text)
	if err == nil {
		_ = s.descriptors()
	}
	return err
}

// StatusLine is a status as the manager of services is told it.
var StatusLine = statusLine
