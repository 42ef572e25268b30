package docker

// ParseTask tells whether a line of /proc/<pid>/stat can be read.
func ParseTask(pid int, stat []byte) bool {
	_, ok := parseTask(pid, stat)
	return ok
}
