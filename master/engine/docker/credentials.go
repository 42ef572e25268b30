//go:build unix

package docker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/registry"
)

// hubKey is the name of Docker Hub in docker's configuration.
const hubKey = "https://index.docker.io/v1/"

// helperTimeout is how long a credential helper may take.
const helperTimeout = 10 * time.Second

// helperRule is that of names of credential helpers: a part of a program's name.
var helperRule = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// dockerConfig is the part of docker's config.json that holds credentials.
type dockerConfig struct {
	Auths       map[string]registry.AuthConfig `json:"auths"`
	Helpers     map[string]string              `json:"credHelpers"` // by registry
	HelperOfAll string                         `json:"credsStore"`
}

// credentials returns the credentials for the registry of an image, encoded for the daemon; empty when `docker login`
// has stored none for it.
func credentials(ctx context.Context, image string) (string, error) {
	key, err := registryOf(image)
	if err != nil {
		return "", err
	}
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", nil // a system service may have no home, and so no login
		}
		dir = filepath.Join(home, ".docker")
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var c dockerConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return "", fmt.Errorf("docker's config.json: %w", err)
	}
	found, err := c.find(ctx, key)
	if err != nil || found == nil {
		return "", err
	}
	found.ServerAddress = key
	return registry.EncodeAuthConfig(*found)
}

// registryOf returns the key in docker's configuration of the registry of an image.
func registryOf(image string) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", image, err)
	}
	if d := reference.Domain(named); d != "docker.io" {
		return d, nil
	}
	return hubKey, nil
}

func (c *dockerConfig) find(ctx context.Context, key string) (*registry.AuthConfig, error) {
	if h := c.Helpers[key]; h != "" {
		return ask(ctx, h, key)
	}
	if c.HelperOfAll != "" {
		return ask(ctx, c.HelperOfAll, key)
	}
	for name, a := range c.Auths {
		if hostOf(name) != hostOf(key) {
			continue
		}
		if a.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(a.Auth)
			if err != nil {
				return nil, fmt.Errorf("docker's config.json: auth of %s is not base64", name)
			}
			a.Username, a.Password, _ = strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
			a.Auth = ""
		}
		return &a, nil
	}
	return nil, nil
}

// hostOf is the host of a key, which may be written as a URL.
func hostOf(key string) string {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	host, _, _ := strings.Cut(key, "/")
	return host
}

// ask gets credentials from a credential helper, as the docker command does.
func ask(ctx context.Context, helper, key string) (*registry.AuthConfig, error) {
	if !helperRule.MatchString(helper) {
		return nil, fmt.Errorf("docker's config.json: %q is not the name of a credential helper", helper)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(key)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		if strings.Contains(out.String(), "credentials not found") {
			return nil, nil
		}
		return nil, fmt.Errorf("ask docker-credential-%s: %w", helper, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("ask docker-credential-%s: answer is not JSON", helper)
	}
	if answer.Username == "<token>" {
		return &registry.AuthConfig{IdentityToken: answer.Secret}, nil
	}
	return &registry.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}
