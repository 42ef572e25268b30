package api_test

import (
	"encoding/json"
	"io/fs"
	nethttp "net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/login"
	"github.com/baetyl/baetyl/master/ui"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// visit sends a request to a page, and returns status and body.
func visit(t *testing.T, page nethttp.Handler, method, target, body string, head ...string,
) (*httptest.ResponseRecorder, string) {
	t.Helper()
	q := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8321"+target, strings.NewReader(body))
	for n := 0; n < len(head); n += 2 {
		if head[n] == "Host" {
			q.Host = head[n+1]
		}
		q.Header.Set(head[n], head[n+1])
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, q)
	return w, w.Body.String()
}

// entered is the header of somebody who has logged in.
func entered(t *testing.T, page nethttp.Handler, p *api.Page) []string {
	t.Helper()
	uid := 1000
	code := p.Logins.Link(masterapi.By{UID: &uid, User: "ann"})
	w, body := visit(t, page, "POST", "/login", `{"secret":"`+code+`"}`)
	require.Equal(t, 200, w.Code, body)
	var out struct{ Session string }
	require.NoError(t, json.Unmarshal([]byte(body), &out))
	return []string{"Authorization", "Bearer " + out.Session}
}

// Only a browser that shows this page itself gets something.
func TestPageIsForItself(t *testing.T) {
	r := newRig(t)
	page := api.NewPage(r.system, r.system, *r.page, log.Discard())
	for _, c := range []struct {
		status int
		head   []string
	}{
		{200, nil},
		{200, []string{"Host", "localhost:8321"}},
		{200, []string{"Host", "edge.example"}},
		{200, []string{"Origin", "http://127.0.0.1:8321", "Sec-Fetch-Site", "same-origin"}},
		{421, []string{"Host", "evil.example"}},
		{421, []string{"Host", "127.0.0.1.evil.example:8321"}},
		{403, []string{"Origin", "http://evil.example"}},
		{403, []string{"Origin", "http://127.0.0.1:3000"}},
		{200, []string{"Origin", "https://127.0.0.1:8321"}},
		{403, []string{"Origin", "https://127.0.0.1"}},
		{403, []string{"Origin", "null"}},
		{403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}},
		{403, []string{"Sec-Fetch-Site", "same-site"}},
	} {
		w, body := visit(t, page, "GET", "/v1/services", "", c.head...)
		require.Equal(t, c.status, w.Code, "%q: %s", c.head, body)
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	}
	w, body := visit(t, page, "GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	require.Equal(t, 200, w.Code, "a link on another site")
	require.Contains(t, body, "<title>Baetyl</title>")
	w, _ = visit(t, page, "GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors")
	require.Equal(t, 403, w.Code)
}

// A visitor sees how services are, and a person what the page is for. Neither may do what the page is not for.
func TestPagePermits(t *testing.T) {
	r := newRig(t)
	page := api.NewPage(r.system, r.system, *r.page, log.Discard())
	person := entered(t, page, r.page)
	for _, route := range masterapi.Routes {
		names := []string{"{service}", "all", "{instance}", "all", "{number}", "1", "{path...}", "v1/x"}
		at := strings.NewReplacer(names...).Replace(route.Path)
		visitor, body := visit(t, page, route.Method, at, "{}")
		if route.Name != "listServices" && route.Name != "inspectSystem" {
			require.Equal(t, 401, visitor.Code, "%s: %s", route.Name, body)
			require.Contains(t, body, "`baetyl ui`")
		} else {
			require.Equal(t, 200, visitor.Code, body)
		}
		wrong, _ := visit(t, page, route.Method, at, "{}", "Authorization", person[1]+"x")
		require.Equal(t, 401, wrong.Code, route.Name)
		allowed := route.Method == nethttp.MethodGet
		for _, name := range []string{"startService", "stopService", "restartService", "planUpdate", "revertSystem"} {
			allowed = allowed || route.Name == name || route.Name == "changeService"
		}
		if got, body := visit(t, page, route.Method, at, "{}", person...); !allowed {
			require.Equal(t, 403, got.Code, "%s: %s", route.Name, body)
			require.Contains(t, body, "use the command line")
		} else {
			require.NotContains(t, []int{401, 403}, got.Code, "%s: %s", route.Name, body)
		}
	}
	_, body := visit(t, page, "GET", masterapi.PathInspect, "")
	require.NotContains(t, body, "hardware\":{\"")
	require.NotContains(t, body, "pwd")
	_, body = visit(t, page, "GET", masterapi.PathServiceAdmin("all", "/v1/x"), "", person...)
	require.Contains(t, body, `"for":"ann at the page"`)
}

// On an address that others reach there are no visitors.
func TestPageForOthers(t *testing.T) {
	r := newRig(t)
	r.page.Config = http.ServerConfig{Address: "https://0.0.0.0:8443"}
	page := api.NewPage(r.system, r.system, *r.page, log.Discard())
	for _, at := range []string{"/v1/services", masterapi.PathInspect, masterapi.PathHistory} {
		w, body := visit(t, page, "GET", at, "")
		require.Equal(t, 401, w.Code, body)
	}
	w, _ := visit(t, page, "GET", "/v1/services", "", entered(t, page, r.page)...)
	require.Equal(t, 200, w.Code)
	r.asPerson(200, "", `"url":"http://edge.example:8443/#login=`, "POST", masterapi.PathLinks, "")
}

func TestWrongLogins(t *testing.T) {
	r := newRig(t)
	page := api.NewPage(r.system, r.system, *r.page, log.Discard())
	w, body := visit(t, page, "POST", "/login", `{"secret":"x"}`)
	require.Equal(t, 401, w.Code)
	require.Contains(t, body, "used before")
	w, _ = visit(t, page, "POST", "/login", `{`)
	require.Equal(t, 400, w.Code)
	for range 20 {
		w, body = visit(t, page, "POST", "/login", `{"secret":""}`)
	}
	require.Equal(t, 429, w.Code, body)
	require.ErrorContains(t, login.ErrTooMany, "next one")
	w, _ = visit(t, page, "GET", "/login", "")
	require.Equal(t, 404, w.Code)
}

// What comes from a device is text: no file of the page takes markup, and none asks another host for something.
func TestFilesOfThePage(t *testing.T) {
	size := 0
	require.NoError(t, fs.WalkDir(ui.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(ui.Files, name)
		size += len(text)
		words := []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", "style="}
		if path.Ext(name) != ".js" {
			words = []string{"<style", "onclick=", "https://", "src=\"http", "@import"}
		}
		for _, word := range words {
			require.NotContains(t, string(text), word, name)
		}
		return err
	}))
	require.Less(t, size, 300_000)
}
