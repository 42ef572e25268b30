package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/utils/redact"
)

// planted are texts with the secret S3cr3t-pa:ss/wörd+1 at a place where a secret stands; SECRET stands for it.
var planted = map[string]string{
	"yaml":                   "hub:\n  username: u\n  password: SECRET\n",
	"yaml quoted":            "password: \"SECRET\"\n",
	"yaml single quotes":     "password: 'SECRET'\n",
	"yaml with a comment":    "password: SECRET # of the hub\n",
	"yaml block":             "password: |\n  SECRET\n",
	"yaml folded":            "token: >-\n    SECRET\n",
	"yaml flow":              "hub: {username: u, password: SECRET}\n",
	"yaml list of arguments": "args:\n  - --token\n  - SECRET\n",
	"argument":               "args: [\"--password=SECRET\"]\n",
	"key in another case":    "clientSecretValue: SECRET\n",
	"json":                   `{"user":"u","apiKey":"SECRET"}`,
	"json in json":           `{"msg":"{\"password\":\"SECRET\",\"user\":\"u\"}"}`,
	"properties":             "mqtt.password=SECRET\n",
	"environment":            "DB_PASSWORD=SECRET\nexport API_TOKEN='SECRET'\n",
	"environment of yaml":    "env:\n  ANY_NAME: SECRET\n",
	"environment list":       "environment:\n  - ANY=SECRET\n",
	"environment flow":       "env: {ANY: SECRET}\n",
	"environment in json":    `{"service":{"env":{"ANY":"SECRET"}}}`,
	"environment, indented":  "{\n \"env\": {\n  \"ANY\": \"SECRET\",\n  \"B\": \"x\"\n }\n}\n",
	"environment of docker":  `{"Env":["A=b","ANY=SECRET"]}`,
	"variables of a start":   "[\n {\n  \"vars\": {\n   \"BAETYL_X\": \"SECRET\"\n  }\n }\n]\n",
	"command line":           "run --password SECRET --verbose\n",
	"command line, equals":   "run --api-key=SECRET --verbose\n",
	"pem":                    "-----BEGIN RSA PRIVATE KEY-----\nSECRET\n-----END RSA PRIVATE KEY-----\n",
	"pem cut":                "x\n-----BEGIN PRIVATE KEY-----\nSECRET\n",
	"pem in yaml":            "key: |\n  -----BEGIN EC PRIVATE KEY-----\n  SECRET\n  -----END EC PRIVATE KEY-----\n",
	"log, json":              `{"level":"info","token":"SECRET","msg":"x"}` + "\n",
	"log, text":              "time=1 level=info password=SECRET msg=x\n",
	"cut line":               `{"msg":"x","password":"SECRET`,
}

const secret = "S3cr3t-pa:ss/w0rd+1"

// A secret stands in none of the forms in what Clean returns, neither where it stands as one nor anywhere else.
func TestPlanted(t *testing.T) {
	for name, text := range planted {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(text, "SECRET", secret)
			r := redact.New()
			if out, _ := r.Clean([]byte(text)); bytes.Contains(out, []byte(secret)) &&
				!strings.Contains(name, "block") && !strings.Contains(name, "folded") && !strings.Contains(name, "list of arg") {
				t.Errorf("without learning: %s", out)
			}
			r.Learn([]byte(text), true)
			all := strings.Join(everywhere(secret), "\n") + "\n" + text
			out, n := r.Clean([]byte(all))
			for _, form := range everywhere(secret) {
				if bytes.Contains(out, []byte(form)) {
					t.Errorf("%s is left in\n%s", form, out)
				}
			}
			if n == 0 {
				t.Error("nothing was counted")
			}
		})
	}
}

// everywhere are forms of a secret as they stand in logs.
func everywhere(s string) []string {
	quoted, _ := json.Marshal(s)
	return []string{
		s, string(quoted[1 : len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s), hex.EncodeToString([]byte(s)),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)),
		base64.RawStdEncoding.EncodeToString([]byte("user:" + s)), base64.StdEncoding.EncodeToString([]byte("a" + s + "b")),
		base64.StdEncoding.EncodeToString([]byte("ab" + s)),
	}
}

// Secrets whose form says what they are need no key.
func TestForms(t *testing.T) {
	for _, text := range []string{
		"mqtt://user:S3cr3t@broker:1883/x", "https://:S3cr3t@host", "Authorization: Bearer abcdefS3cr3t",
		"Basic dXNlcjpTM2NyM3Q=S3cr3t", "eyJhbGciOiJIUzI1NiJ9.S3cr3tS3cr3t.S3cr3t", "AKIAS3CR3TS3CR3TS3CR",
		"ghp_S3cr3tS3cr3tS3cr3tS3cr3t", "$2a$10$S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3",
		"GET /x?access_token=S3cr3t&a=b", "SharedAccessKey=S3cr3t;EntityPath=x", "x-openedge-password: S3cr3t",
		"Cookie: session=S3cr3t", "https://hooks.slack.com/services/T01ABCDEF/B02ABCDEF/S3cr3tS3cr3t",
		"https://discord.com/api/webhooks/123456789012345678/S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3t",
		"https://api.telegram.org/bot123456789:S3cr3tS3cr3tS3cr3tS3cr3tS3cr3t/sendMessage", "sk_live_S3cr3tS3cr3t",
		"sk-S3cr3tS3cr3tS3cr3tS3cr3t",
		"NOTIFY_WEBHOOK_URLS=https://hooks.example/S3cr3t", "SENTRY_DSN: https://S3cr3t@o1.example/1",
	} {
		out, _ := redact.New().Clean([]byte("before " + text + " after\n"))
		if bytes.Contains(bytes.ToLower(out), []byte("s3cr3t")) {
			t.Errorf("%s: %s", text, out)
		}
		if !bytes.HasPrefix(out, []byte("before ")) {
			t.Errorf("%s has lost what is before it: %s", text, out)
		}
	}
}

// What is no secret stays, so that a support bundle is of use.
func TestKeeps(t *testing.T) {
	text := `hub:
  address: tcp://127.0.0.1:1883
  username: test
  password: {file: password.txt}
certificate:
  key: var/db/baetyl/cert/server.key
rules:
  - subscribe: {topic: t/password/reset, qos: 1}
pwd: /usr/local
ping: 3s, mapping: none
passed: 12
`
	r := redact.New()
	r.Learn([]byte(text), true)
	if out, n := r.Clean([]byte(text)); string(out) != text || n != 0 {
		t.Errorf("%d taken out:\n%s", n, out)
	}
	r.Learn([]byte("the token is missing: token: none\npassword: wrong password\n"), false)
	line := "level=info msg=\"session of client test is there, none is missing\"\n"
	if out, _ := r.Clean([]byte(line)); string(out) != line {
		t.Errorf("%s", out)
	}
}

// A short password does not tear the text of a log.
func TestShort(t *testing.T) {
	r := redact.New()
	r.Learn([]byte("password: ab\n"), true)
	out, _ := r.Clean([]byte("a table of abbreviations\npassword: ab\n"))
	if string(out) != "a table of abbreviations\npassword: ***\n" {
		t.Errorf("%s", out)
	}
}

func FuzzClean(f *testing.F) {
	for _, text := range planted {
		f.Add([]byte(text), "S3cr3t")
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		r := redact.New()
		r.Learn(text, true)
		r.Learn([]byte("password: \"x\"\n"), true)
		r.Add(value)
		out, _ := r.Clean(append(text, value...))
		value = strings.TrimSpace(value)
		alone := redact.New() // a word that is too short or too common is no secret
		alone.Add(value)
		once, _ := alone.Clean([]byte(value))
		if known := !bytes.Contains(once, []byte(value)); known && bytes.Contains(out, []byte(value)) {
			t.Errorf("%q is left in %q", value, out)
		}
	})
}

func BenchmarkClean(b *testing.B) {
	r := redact.New()
	r.Learn([]byte("password: S3cr3t-one\ntoken: S3cr3t-two\n"), true)
	line := "time=\"2026-12-01T04:09:56.983Z\" level=info msg=\"request served\" api=server caller=all outcome=done\n"
	text := bytes.Repeat([]byte(line), 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r.Clean(text)
	}
}
