package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/bundle"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func write(t *testing.T, dir, path, text string) {
	t.Helper()
	path = filepath.Join(dir, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func options(dir string) bundle.Options {
	return bundle.Options{
		Workdir: dir, Config: filepath.Join(dir, "etc/baetyl/conf.yml"), OTALog: filepath.Join(dir, masterapi.OTALog),
		LogFile: filepath.Join(dir, "var/log/baetyl/baetyl.log"), Version: "1.0", Mode: "native",
		Application: &app.Config{
			Services: []app.Service{{Name: "hub", Mounts: []app.Mount{
				{Name: "conf", Path: "etc/baetyl"}, {Name: "log", Path: "var/log/baetyl"}, {Name: "data", Path: "data"},
			}}},
			Volumes: []app.Volume{
				{Name: "conf", Path: "var/db/baetyl/conf"}, {Name: "log", Path: "var/db/baetyl/hublog"},
				{Name: "data", Path: "var/db/baetyl/data"},
			},
		},
	}
}

func collect(t *testing.T, o bundle.Options) (map[string]string, bundle.Manifest) {
	t.Helper()
	var out bytes.Buffer
	m, err := bundle.Write(t.Context(), &out, o)
	require.NoError(t, err)
	_, err = bundle.Verify(bytes.NewReader(out.Bytes()))
	require.NoError(t, err)
	gz, err := gzip.NewReader(&out)
	require.NoError(t, err)
	files := map[string]string{}
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, m
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NotContains(t, files, h.Name)
		files[h.Name] = string(data)
	}
}

// Thirty secrets, each at another place, and all of them once more in a log, in three forms: none is in the bundle.
func TestPlanted(t *testing.T) {
	n := 0
	var secrets []string
	s := func() string {
		n++
		secrets = append(secrets, fmt.Sprintf("s3cr3t+%02d/x", n))
		return secrets[n-1]
	}
	dir := t.TempDir()
	write(t, dir, "etc/baetyl/conf.yml", "server:\n  password: "+s()+"\n  token: '"+s()+"'\nurl: https://u:"+s()+"@h/\n")
	write(t, dir, "var/db/baetyl/application.yml", "services:\n- name: a\n  env:\n    ANY: "+s()+"\n    DB_PASSWORD: "+s()+
		"\n  args: [--api-key, "+s()+", '--password="+s()+"']\n- name: b\n  environment: {X: "+s()+"}\n")
	kept := base64.StdEncoding.EncodeToString([]byte("env: {ANY: only-in-the-last}\npassword: " + secrets[0]))
	write(t, dir, "var/db/baetyl/application.last", `{"data":"`+kept+`"}`)
	write(t, dir, "var/db/baetyl/conf/service.yml", "hub: {username: u, password: "+s()+"}\n"+
		"principals:\n- username: x\n  password: \""+s()+"\"\nremotes:\n- password: {file: pw.txt}\n- secret_key: "+s()+
		"\n- passphrase: |\n    "+s()+"\n    "+s()+"\n")
	write(t, dir, "var/db/baetyl/conf/pw.txt", s()+"\n")
	write(t, dir, "var/db/baetyl/conf/server.key", "-----BEGIN PRIVATE KEY-----\nof-the-key\n-----END PRIVATE KEY-----\n")
	write(t, dir, "var/db/baetyl/conf/more.json", `{"a":{"clientSecret":"`+s()+`","b":"{\"auth_token\":\"`+s()+`\"}"}}`)
	write(t, dir, "var/db/baetyl/conf/x.properties", "mqtt.password="+s()+"\nsasl.jaas.config=x password=\""+s()+"\";\n")
	write(t, dir, "var/db/baetyl/conf/x.env", "API_TOKEN="+s()+"\nexport SECRET='"+s()+"'\n")
	write(t, dir, "var/db/baetyl/conf/sub/deep.yaml", "connection_string: Server=x;SharedAccessKey="+s()+"\n")
	write(t, dir, "var/db/baetyl/history/3.yml", "services:\n- name: old\n  env: {OLD_PASSWORD: "+s()+"}\n")
	write(t, dir, "var/run/baetyl/instances.json",
		`[{"service":"a","token":"`+s()+`","vars":{"BAETYL_SECRET":"`+s()+`"}}]`)
	write(t, dir, masterapi.OTALog, `{"msg":"download https://user:`+s()+`@host/x?token=`+s()+`"}`+"\n")
	write(t, dir, "var/log/baetyl/services/a.log", "Authorization: Bearer "+s()+"\nx-openedge-password: "+s()+"\n")
	write(t, dir, "var/db/baetyl/hublog/service.log", "level=info password="+s()+" msg=x\n")
	o := options(dir)
	o.Inspect = &masterapi.Inspect{Error: "login failed: password=" + s()}
	o.Examination.Findings = []masterapi.Finding{{ID: "x", Text: "url mqtt://u:" + s() + "@h"}}
	o.Events = []masterapi.Event{{Text: `{"secret":"` + s() + `"}`}}
	require.GreaterOrEqual(t, n, 30)
	log := ""
	for _, secret := range secrets {
		quoted, _ := json.Marshal(secret)
		log += "again " + secret + " and " + base64.StdEncoding.EncodeToString([]byte(secret)) + " and " +
			string(quoted) + "\n"
	}
	write(t, dir, "var/log/baetyl/services/b.log", log)
	files, m := collect(t, o)
	for name, text := range files {
		require.NotContains(t, text, "of-the-key", name)
		require.NotContains(t, text, "only-in-the-last", name)
		require.NotContains(t, text, kept, name)
		for _, secret := range secrets {
			require.NotContains(t, text, secret, name)
			require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte(secret)), name)
		}
	}
	for _, name := range []string{
		"conf.yml", "application.yml", "services/hub/service.yml", "services/hub/more.json", "history/3.yml", "ota.log",
		"logs/services/a.log", "logs/of-hub/service.log", "state/instances.json", "inspect.json", "events.json",
		"doctor.json",
	} {
		require.Contains(t, files, name)
	}
	require.NotContains(t, files, "services/hub/server.key")
	require.Contains(t, files["application.yml"], "name: a")
	require.Contains(t, files["logs/services/b.log"], "again *** and ***")
	require.GreaterOrEqual(t, m.Redacted, 30)
}

// The newest logs are there, the bundle has its limit, and a source that never answers costs only itself.
func TestLimits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "etc/baetyl/conf.yml", "mode: native\n")
	now := time.Now()
	for i := range 12 {
		name := fmt.Sprintf("var/log/baetyl/services/s.%02d.log", i)
		write(t, dir, name, strings.Repeat(fmt.Sprintf("line of %02d, with a text\n", i), 200_000)+"the end\n")
		at := now.Add(-time.Duration(i) * time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/db/baetyl/conf"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "var/db/baetyl/conf/service.yml"), 0o600))
	files, m := collect(t, options(dir))
	total := 0
	for _, text := range files {
		total += len(text)
	}
	require.LessOrEqual(t, total, 33<<20)
	require.Positive(t, m.LeftOut)
	require.True(t, strings.HasSuffix(files["logs/services/s.00.log"], "the end\n"))
	require.NotContains(t, files, "logs/services/s.11.log")
	found := false
	for _, f := range m.Files {
		if f.Name == "services/hub/service.yml" {
			found = true
			require.NotEmpty(t, f.Error)
		}
		if f.Name == "logs/services/s.00.log" {
			require.Greater(t, f.Of, int64(f.Bytes))
		}
	}
	require.True(t, found)
}

// A key that is longer than what is cleaned at once is taken out as a whole.
func TestLongKey(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "etc/baetyl/conf.yml", "mode: native\n")
	line := "S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr\n"
	write(t, dir, "var/log/baetyl/services/a.log", "before\n-----BEGIN PRIVATE KEY-----\n"+strings.Repeat(line, 40_000)+
		"-----END PRIVATE KEY-----\nafter\n")
	files, _ := collect(t, options(dir))
	text := files["logs/services/a.log"]
	require.Contains(t, text, "before\n")
	require.Contains(t, text, "after\n")
	require.NotContains(t, text, "S3cr3t")
}

// One that is cut off is told from a whole one.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "etc/baetyl/conf.yml", "mode: native\n")
	var out bytes.Buffer
	_, err := bundle.Write(context.Background(), &out, options(dir))
	require.NoError(t, err)
	for n := 0; n < out.Len(); n += out.Len()/200 + 1 {
		_, err := bundle.Verify(bytes.NewReader(out.Bytes()[:n]))
		require.Error(t, err, n)
	}
	_, err = bundle.Verify(bytes.NewReader(out.Bytes()[:out.Len()-1]))
	require.Error(t, err)
}
