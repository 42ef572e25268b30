// Package ui holds the page for persons with a browser: its files, and nothing else. It lives from the API
// (master/api, Page). There is no build step: what a browser gets is what stands here.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed files
var embedded embed.FS

// Files are those of the page; index.html is its root.
var Files = must(fs.Sub(embedded, "files"))

func must(files fs.FS, err error) fs.FS {
	if err != nil {
		panic(err) // the name is a constant
	}
	return files
}
