package api

import (
	"context"
	"io/fs"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/login"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// Page is the API once more, for a person with a browser, and the files of the page that uses it.
//
//	browser ─► is this name ours (421)? from another site (403)? ─┬─► /, files ─► the page
//	                                                              ├─► /login: a link or the token ─► a session
//	                                                              └─► /v1/…: session ─► permitted? ─► the same routes
//
// A session is sent as `Authorization: Bearer`, not as a cookie: a browser adds cookies to what other sites ask for,
// and gives them to every port of a host.
type Page struct {
	Config http.ServerConfig // with absolute paths
	Hosts  []string          // names besides that in Config under which browsers may ask
	Files  fs.FS
	Logins *login.Logins
}

// pageRetry is the time between two tries to listen: another program may have the port.
const pageRetry = 10 * time.Second

// maxPageConns is how many connections browsers have at a time.
const maxPageConns = 128

// policy is what the page may do in a browser: use its own files and this API.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// onPage are the routes, besides those that only read, that a session may use.
var onPage = []string{
	masterapi.RouteServiceStart.Name, masterapi.RouteServiceStop.Name, masterapi.RouteServiceRestart.Name,
	masterapi.RoutePlan.Name, masterapi.RouteRevert.Name, masterapi.RouteServiceChange.Name,
}

// forVisitors are the routes of somebody without a login, where the page is on the loopback alone. The answers have no
// more than they may see.
var forVisitors = []string{masterapi.RouteServices.Name, masterapi.RouteInspect.Name}

// NewPage returns the handler of the page.
func NewPage(services Services, system System, p Page, l log.Logger) nethttp.Handler {
	h := &handler{services: services, system: system, log: l.WithField("api", "page"), running: map[string]int{}}
	at := p.host()
	h.identify = p.identify(addr.Loopback(at))
	mux := nethttp.NewServeMux()
	mux.Handle("/v1/", h.routes())
	mux.Handle("/", nethttp.FileServerFS(p.Files))
	mux.HandleFunc("POST /login", p.enter)
	return guard(addr.Names(at, p.Hosts), mux)
}

// host is host:port of the page; empty: its address is wrong, which master.UI.Validate refuses.
func (p Page) host() string {
	a, _ := addr.Listen(p.Config.Address, addr.Server...)
	return a.Host
}

// guard answers only requests under a known name that no other site has made.
func guard(known []string, next nethttp.Handler) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		switch host := addr.Host(r.Host); {
		case !addr.Expected(host, known):
			http.WriteError(w, http.Errorf(nethttp.StatusMisdirectedRequest, "misdirected",
				"%s is no name of this server; ask by address, or add the name to ui.hosts", quotable(host, maxQuoted)))
		case foreign(r):
			http.WriteError(w, http.Errorf(nethttp.StatusForbidden, "forbidden", "another site asks"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// foreign tells whether a browser says that another site has made the request. A person may follow a link to the page
// itself.
func foreign(r *nethttp.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		_, host, _ := strings.Cut(origin, "://") // a proxy before it may add TLS
		if host != r.Host {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Method != nethttp.MethodGet || r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// enter is the login: it takes a code or the token, and answers with a session.
func (p Page) enter(w nethttp.ResponseWriter, r *nethttp.Request) {
	var in struct {
		Secret string `json:"secret"`
	}
	err := http.ReadJSON(r, &in)
	var out struct {
		Session string    `json:"session"`
		Ends    time.Time `json:"ends"`
	}
	if err == nil {
		out.Session, out.Ends, err = p.Logins.Enter(in.Secret)
	}
	if err != nil {
		http.WriteError(w, http.ErrorOf(err, []http.Meaning{
			{Err: login.ErrWrong, Status: nethttp.StatusUnauthorized, Code: "unauthorized"},
			{Err: login.ErrTooMany, Status: nethttp.StatusTooManyRequests, Code: "too_many"},
		}))
		return
	}
	http.WriteJSON(w, nethttp.StatusOK, out)
}

// identify returns what identifies the caller: a person with a session or, where visitors are let in, anybody.
func (p Page) identify(visitors bool) func(*nethttp.Request) (caller, error) {
	return func(r *nethttp.Request) (caller, error) {
		text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok && visitors {
			return caller{name: "a visitor at the page", who: "visitor", person: true, visitor: true}, nil
		}
		by, ok := p.Logins.Who(text)
		if !ok {
			return caller{person: true, who: "nobody"}, http.Errorf(nethttp.StatusUnauthorized, "unauthorized",
				"the login has ended; `baetyl ui` makes a new link")
		}
		name := by.String() + " at the page"
		return caller{name: name, who: name, person: true, asked: &by}, nil
	}
}

// link answers with a link that logs its caller in at the page, once.
func (p *Page) link(r *nethttp.Request, by caller) (any, error) {
	if p == nil || p.Config.Address == "" {
		return nil, http.Errorf(nethttp.StatusNotFound, "not_found",
			"there is no page: write `ui: {address: 'tcp://127.0.0.1:8321'}` into etc/baetyl/conf.yml, then `baetyl restart`")
	}
	scheme, host := "http://", p.host()
	if p.Config.Cert != "" {
		scheme = "https://"
	}
	if name, port, err := net.SplitHostPort(host); err == nil && (name == "" || net.ParseIP(name).IsUnspecified()) {
		name, _ = os.Hostname() // without one the link has to be completed
		if len(p.Hosts) > 0 {
			name = p.Hosts[0]
		}
		host = net.JoinHostPort(name, port)
	}
	return masterapi.Link{
		URL:  scheme + host + "/#login=" + p.Logins.Link(by.by(r)),
		Ends: time.Now().Add(login.LinkLife),
	}, nil
}

// page serves the page as long as ctx of serve lasts. Another program that has its port holds up nothing else.
type page struct {
	options http.Options
	handler nethttp.Handler
	config  http.ServerConfig
	said    bool

	mu      sync.Mutex   // guards what follows
	server  *http.Server // listens; nil: not yet
	leaving bool
}

// listen tries to listen.
func (p *page) listen() {
	server := http.NewServerWith(p.config, p.options, p.handler)
	err := server.Listen()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		if p.server = server; p.leaving {
			server.Leave()
		}
		p.options.Log.Infof("the page is at %s", server.Addr())
		return
	}
	if !p.said {
		p.options.Log.WithError(err).Warnf("ui.address: there is no page yet; the next try is in %s", pageRetry)
		p.said = true
	}
}

// listening returns the server; nil: not yet.
func (p *page) listening() *http.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// leave makes the end of serve leave the listener to the next master.
func (p *page) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
	if p.server != nil {
		p.server.Leave()
	}
}

func (p *page) serve(ctx context.Context) {
	for p.listening() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pageRetry):
			p.listen()
		}
	}
	if err := p.listening().Serve(ctx); err != nil {
		p.options.Log.WithError(err).Errorf("the page has ended")
	}
}
