//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/baetyl/baetyl/internal/requires"
)

// axe is the checker for accessibility that scripts/setup-test.sh fetches.
const axe = "output/cache/node/node_modules/axe-core/axe.min.js"

// browser is a tab of a real Chromium.
type browser struct {
	*system
	ctx context.Context
}

// newBrowser begins a tab of its own, without a login.
func newBrowser(s *system) *browser {
	s.t.Helper()
	path := requires.Command(s.t, "chromium", "apt-get install chromium")
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	all, end := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(all)
	s.t.Cleanup(func() { cancel(); end() })
	_, err := chromedp.Run(ctx, chromedp.EmulateViewport(1280, 800)) // the browser lives as long as this context
	must(s.t, err)
	return &browser{system: s, ctx: ctx}
}

// do runs an action, and fails with what the page shows.
func do[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitLimit)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.t.Fatalf("%v; the page shows:\n%s", err, text)
	}
	return out
}

// shows waits until the text of the page has each part.
func (b *browser) shows(parts ...string) {
	b.t.Helper()
	for _, part := range parts {
		text, err := json.Marshal(part)
		must(b.t, err)
		b.eventually("the page shows "+part, func() error {
			if !do(b, chromedp.Evaluate[bool](fmt.Sprintf("document.body.innerText.includes(%s)", text))) {
				return fmt.Errorf("it shows %s", do(b, chromedp.Evaluate[string]("document.body.innerText")))
			}
			return nil
		})
	}
}

// view opens a view by its name in the address.
func (b *browser) view(name string) {
	b.t.Helper()
	do(b, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.hash = %q", name)))
}

// click clicks the button with a label, of the row of a table that has a text if there is one.
func (b *browser) click(row, label string) {
	b.t.Helper()
	query := fmt.Sprintf(`//button[contains(., %q)]`, label)
	if row != "" {
		query = fmt.Sprintf(`//tr[contains(., %q)]`, row) + query
	}
	do(b, chromedp.Click(query))
}

// enter types into a field with a label.
func (b *browser) enter(label, text string) {
	b.t.Helper()
	do(b, chromedp.SetValue(fmt.Sprintf(`//label[contains(., %q)]/*`, label), text))
}

// accessible fails for what axe finds serious or critical.
func (b *browser) accessible(view string) {
	b.t.Helper()
	source, err := os.ReadFile(filepath.Join(root, axe))
	if err != nil {
		requires.Missing(b.t, "axe-core", "scripts/setup-test.sh")
	}
	type violation struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML string }
	}
	do(b, chromedp.Evaluate[chromedp.Void](string(source)+"; null"))
	const run = "axe.run().then((r) => r.violations)"
	for _, v := range do(b, chromedp.Evaluate[[]violation](run, chromedp.EvalAwaitPromise)) {
		if v.Impact == "serious" || v.Impact == "critical" {
			b.t.Errorf("%s: %s (%s): %.500v", view, v.Help, v.ID, v.Nodes)
		}
	}
}

// screens sees a view on a wide and on a narrow screen, light and dark. Pictures go to docs/screenshots if SCREENSHOTS
// is set.
func (b *browser) screens(view string) {
	b.t.Helper()
	for _, screen := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"narrow", 360, 740, "dark"}, {"wide", 1280, 800, "light"}} {
		do(b, chromedp.EmulateViewport(screen.width, screen.height))
		do(b, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			scheme := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: screen.scheme}
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia,
				emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{scheme}})
			return chromedp.Void{}, err
		})
		if excess := do(b, chromedp.Evaluate[int]("document.documentElement.scrollWidth - innerWidth")); excess > 0 {
			b.t.Errorf("%s: %d pixels wider than a screen of %d", view, excess, screen.width)
		}
		b.accessible(view + ", " + screen.scheme)
		if os.Getenv("SCREENSHOTS") != "" {
			picture := do(b, chromedp.CaptureScreenshot())
			must(b.t, os.WriteFile(filepath.Join(root, "docs/screenshots", view+"-"+screen.name+".png"), picture, 0o644))
		}
	}
}

// An operator with a browser: a link that works once, each view, what each can do, and a restart of the master.
func TestPage(t *testing.T) {
	besideOthers(t)
	s := newSystem(t).withoutTimer()
	port := freePorts(t, "page")["page"]
	s.edit(masterFile, func(text string) string {
		return text + "ui:\n  address: tcp://127.0.0.1:" + port + "\n"
	})
	s.start()
	said, status := s.baetyl("ui")
	link, _, _ := strings.Cut(said, "\n")
	if status != 0 || !strings.HasPrefix(link, "http://127.0.0.1:"+port+"/#login=") {
		t.Fatalf("baetyl ui: %d %s", status, said)
	}
	b := newBrowser(s)
	do(b, chromedp.Navigate("http://127.0.0.1:"+port+"/"))
	b.shows("localhub", "running", "Log in") // states are for everybody on this machine
	b.view("logs")
	b.shows("Link or token")
	do(b, chromedp.Navigate(link))
	b.shows("Log out", "localhub", "MiB", "function-manager")
	b.screens("services")

	b.click("timer", "Restart")
	b.click("timer", "sure?")
	b.shows("timer: started again.")
	b.click("timer", "Stop")
	b.click("timer", "sure?")
	b.shows("stopped by hand")
	b.click("timer", "Start")
	b.click("timer", "sure?")
	b.shows("timer: started.")
	b.view("service/localhub")
	b.shows("Definition", "baetyl-hub", "[localhub]")
	b.screens("service")
	b.view("logs")
	b.shows("[localhub]", "[function-manager]")

	b.view("hub")
	b.shows("Connections", "/s)", "Kick")
	const markup = `<img src=x onerror="document.title='owned'">`
	b.click("", "Subscribe")
	b.enter("Topic", "a/<b>topic</b>")
	b.enter("Payload", markup)
	b.eventually("the message comes back", func() error {
		b.click("", "Publish")
		text := do(b, chromedp.Evaluate[string]("document.body.innerText"))
		if !strings.Contains(text, "a/<b>topic</b>  "+markup) {
			return fmt.Errorf("the page shows %s", text)
		}
		return nil
	})
	do(b, chromedp.Evaluate[chromedp.Void]("window.scrollTo(0, 0)"))
	b.screens("hub")
	if n := do(b, chromedp.Evaluate[int]("document.querySelectorAll('main img, main b').length")); n > 0 {
		t.Errorf("what a client sends became a part of the page: %d elements", n)
	}

	b.view("functions")
	b.shows("sql-filter", "Publishes")
	b.enter("Function", "sql-filter")
	b.click("", "Call")
	b.shows(`{"id":1,"qos":0,"topic":"t"}`)
	b.screens("functions")
	b.view("updates")
	b.shows("application.yml", "running")
	b.screens("updates")
	b.view("update/1")
	b.shows("What it has changed")
	b.view("events")
	b.shows("instance.started")
	b.view("device")
	b.shows("Kernel", "What to do")
	b.screens("device")

	// The next master knows the login, and the page comes back by itself.
	b.view("events")
	b.shows("instance.started")
	if out, status := s.baetyl("restart"); status != 0 {
		t.Fatalf("baetyl restart: %s", out)
	}
	b.shows("master.started")
	b.view("services")
	b.shows("Log out", "localhub", "running")

	// A link works once, also for who has stolen it.
	other := newBrowser(s)
	do(other, chromedp.Navigate(link))
	other.shows("was used before", "Log in")
}
