package native

// Takes tells whether an entry of binfmt_misc takes a program.
func Takes(text, path string, head []byte) bool { return parseFormat(text).takes(path, head) }
