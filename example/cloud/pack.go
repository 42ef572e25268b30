package main

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// push packs what lies at path and leaves the event for serve to send. It returns the trace.
func (s *store) push(device, path, version string, master bool) (string, error) {
	if _, err := s.certificate(device); err != nil {
		return "", err
	}
	pushes, err := s.pushes(device)
	if err != nil {
		return "", err
	}
	number, random := 1, make([]byte, 4)
	if n := len(pushes); n > 0 {
		if _, err := fmt.Sscanf(pushes[n-1].Trace, "%d-", &number); err != nil {
			return "", fmt.Errorf("read the number of push %s: %w", pushes[n-1].Trace, err)
		}
		number++
	}
	rand.Read(random)
	ota := cloud.OTA{Type: masterapi.UpdateApp, Trace: fmt.Sprintf("%06d-%x", number, random)}
	p := packer{dir: s.device(device, "packages"), url: s.address("https", s.HTTPS) + packagesPath}
	if master {
		ota.Type = masterapi.UpdateMaster
		ota.Volume, err = p.binary(path)
		ota.Version = ota.Volume.Meta.Version
	} else {
		ota.Volume, ota.Version, err = p.application(path, version)
	}
	if err != nil {
		return "", fmt.Errorf("pack %s: %w", path, err)
	}
	if version != "" {
		ota.Version = version
	}
	data, err := json.Marshal(cloud.Event{Time: time.Now().UTC().Truncate(time.Second), OTA: ota})
	if err != nil {
		return "", err
	}
	if _, err := cloud.Parse(data); err != nil {
		return "", err
	}
	return ota.Trace, file.WriteAtomic(s.device(device, "pushes", ota.Trace+".json"), data, 0o600)
}

// packer makes packages in dir, each named for its SHA-256: what has not changed is the same package, at the same
// path of the device.
type packer struct {
	dir string
	url string // of dir, with a slash
}

// application packs application.yml [and metadata.yml], and each volume that has a folder beside them. It returns the
// version too.
func (p packer) application(dir, version string) (cloud.Volume, string, error) {
	none := func(err error) (cloud.Volume, string, error) { return cloud.Volume{}, "", err }
	files := map[string][]byte{}
	for _, name := range []string{"application.yml", "metadata.yml"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			files[name] = data
		} else if name == "application.yml" || !errors.Is(err, os.ErrNotExist) {
			return none(err)
		}
	}
	// In the list form application.yml names the volumes. In the compose form it has something else under that key,
	// hence metadata.yml.
	list := "application.yml"
	if files["metadata.yml"] != nil {
		list = "metadata.yml"
	}
	var top yaml.MapSlice // the keys in their order; those that are not looked at stay as they are
	var known struct {
		Version string
		Volumes []cloud.Volume
	}
	if err := errors.Join(yaml.Unmarshal(files[list], &top), yaml.Unmarshal(files[list], &known)); err != nil {
		return none(
			fmt.Errorf("%s: %w; the compose form needs a metadata.yml beside it, with version and volumes", list, err),
		)
	}
	if version != "" {
		known.Version = version
	}
	for i, v := range known.Volumes {
		if err := app.CheckName(v.Name); err != nil {
			return none(fmt.Errorf("%s: volumes[%d].name: %w", list, i, err))
		}
		content := filepath.Join(dir, v.Name)
		if info, err := os.Lstat(content); errors.Is(err, os.ErrNotExist) {
			continue // what the device has already, or makes itself
		} else if err != nil || !info.IsDir() {
			return none(fmt.Errorf("%s is not a folder", content))
		}
		packed, err := p.pack(v.Name, func(z *zip.Writer) error { return addFolder(z, content) })
		if err != nil {
			return none(err)
		}
		if list == "metadata.yml" { // the services of the compose form repeat the path
			packed.Path = v.Path
		}
		known.Volumes[i] = packed
	}
	set(&top, "version", known.Version)
	set(&top, "volumes", known.Volumes)
	var err error
	if files[list], err = yaml.Marshal(top); err != nil {
		return none(err)
	}
	parsed, err := app.Parse("application.yml", files["application.yml"])
	if err != nil {
		return none(err)
	}
	if !hasAgent(parsed) {
		return none(
			errors.New(
				"application.yml: no service has the image baetyl-agent, so nothing would be heard of the device afterwards",
			),
		)
	}
	packed, err := p.pack("app", func(z *zip.Writer) error {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := addFile(z, name, 0o644, bytes.NewReader(files[name])); err != nil {
				return err
			}
		}
		return nil
	})
	return packed, known.Version, err
}

func set(top *yaml.MapSlice, key string, value any) {
	for i := range *top {
		if (*top)[i].Key == key {
			(*top)[i].Value = value
			return
		}
	}
	*top = append(*top, yaml.MapItem{Key: key, Value: value})
}

func hasAgent(a *app.Config) bool {
	for _, s := range a.Services {
		if name, _, _ := strings.Cut(path.Base(s.Image), ":"); name == "baetyl-agent" {
			return true
		}
	}
	return false
}

// binary packs a master as bin/baetyl.
func (p packer) binary(path string) (cloud.Volume, error) {
	f, err := os.Open(path)
	if err != nil {
		return cloud.Volume{}, err
	}
	defer f.Close()
	return p.pack("master", func(z *zip.Writer) error { return addFile(z, "bin/baetyl", 0o755, f) })
}

// pack makes the package of a volume. Its path on the device holds a part of the digest: a new content never touches
// an old one.
func (p packer) pack(name string, fill func(z *zip.Writer) error) (cloud.Volume, error) {
	tmp, err := os.CreateTemp(p.dir, ".package.*")
	if err != nil {
		return cloud.Volume{}, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	strong, weak := sha256.New(), md5.New()
	z := zip.NewWriter(io.MultiWriter(tmp, strong, weak))
	if err := fill(z); err != nil {
		return cloud.Volume{}, err
	}
	if err := errors.Join(z.Close(), tmp.Sync()); err != nil {
		return cloud.Volume{}, err
	}
	sum := hex.EncodeToString(strong.Sum(nil))
	version := sum[:12]
	return cloud.Volume{
			Name: name,
			Path: cloud.Root + "/" + name + "/" + version,
			Meta: app.VolumeMeta{
				URL: p.url + sum + ".zip",
				MD5: base64.StdEncoding.EncodeToString(
					weak.Sum(nil),
				),
				SHA256:  sum,
				Version: version,
			},
		}, os.Rename(
			tmp.Name(),
			filepath.Join(p.dir, sum+".zip"),
		)
}

// addFolder adds what lies in dir, in the order of names and without times, so that the same content gives the same
// package.
func addFolder(z *zip.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err1 := filepath.Rel(dir, path)
		info, err2 := d.Info()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			_, err := z.CreateHeader(&zip.FileHeader{Name: name + "/"})
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return addFile(z, name, info.Mode().Perm(), f)
	})
}

func addFile(z *zip.Writer, name string, perm fs.FileMode, content io.Reader) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(perm)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = io.Copy(w, content)
	}
	return err
}
