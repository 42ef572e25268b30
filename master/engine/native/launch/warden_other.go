//go:build unix && !linux

package launch

// ward refuses: nothing here ends with all that it has started.
func ward() Result { return Result{Failed: "commands in an instance need Linux"} }
