package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// A bill of materials in the JSON of CycloneDX 1.5: https://cyclonedx.org/docs/1.5/json/.
type (
	bill struct {
		Format   string      `json:"bomFormat"`
		Spec     string      `json:"specVersion"`
		Serial   string      `json:"serialNumber"`
		Version  int         `json:"version"`
		Metadata metadata    `json:"metadata"`
		Parts    []component `json:"components"`
	}
	metadata struct {
		Time    string    `json:"timestamp"`
		Program component `json:"component"`
	}
	component struct {
		Type    string `json:"type"`
		Ref     string `json:"bom-ref"`
		Name    string `json:"name"`
		Version string `json:"version"`
		URL     string `json:"purl"`
		Hashes  []hash `json:"hashes,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
)

// sbom writes what the linker has noted in a program: the modules that are in it, and the Go that has built it.
func sbom(args []string) error {
	if len(args) != 3 {
		return errors.New("expected a program, its version and the file to write")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", args[0], err)
	}
	program, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return errors.New("SOURCE_DATE_EPOCH must be the time of the release, in seconds since 1970")
	}
	data, err := json.MarshalIndent(billOf(info, program, args[1], time.Unix(at, 0)), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(args[2], append(data, '\n'), 0o644)
}

func billOf(info *buildinfo.BuildInfo, program []byte, version string, at time.Time) bill {
	sum := sha256.Sum256(program)
	top := component{Type: "application", Name: "baetyl", Version: version, URL: golang(info.Main.Path, version)}
	top.Ref = top.URL
	top.Hashes = []hash{{Algorithm: "SHA-256", Content: hex.EncodeToString(sum[:])}}
	parts := []component{library("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		m = replaced(m)
		parts = append(parts, library(m.Path, m.Version))
	}
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8: out of a digest
	return bill{
		Format: "CycloneDX", Spec: "1.5", Version: 1,
		Serial:   fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		Metadata: metadata{Time: at.UTC().Format(time.RFC3339), Program: top}, Parts: parts,
	}
}

func replaced(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

func library(path, version string) component {
	url := golang(path, version)
	return component{Type: "library", Ref: url, Name: path, Version: version, URL: url}
}

func golang(path, version string) string { return "pkg:golang/" + path + "@" + version }
