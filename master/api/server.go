package api

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/log"
)

// Modes of the two sockets. Everybody may open the documented one, since a token is what counts there.
const (
	serviceMode = 0o666
	adminMode   = 0o660
)

// ServerOptions say where the API is served, and to whom.
type ServerOptions struct {
	Config  http.ServerConfig  // for services, with absolute paths
	Admin   string             // absolute path of the socket for persons; empty: there is none
	Group   string             // of the host, whose members are let in there; it need not exist
	Service func(uid int) bool // tells whether services run as this user, who is never let in there; nil: none does
	Keeper  http.Keeper        // holds the listeners from one master to the next; nil: there is none
	Kept    map[string]*os.File
	Page    *Page // for browsers; nil: there is none
	Log     log.Logger
}

// Server serves the API to services, which prove themselves by their tokens, and to persons, whom the kernel knows:
//
//	service ─► server.address, tokens only        ┐
//	person  ─► admin.sock, uid and groups of peer ┴► the same routes ─► Services, System
//
// Listen and Serve are called once, in this order.
type Server struct {
	servers []*http.Server
	page    *page        // nil: there is none
	pages   http.Options // of its server
	missing string       // what Listen says of the group
	log     log.Logger
}

// NewServer returns the server of all routes. It opens nothing, and writes nothing: another master may run here.
func NewServer(services Services, system System, o ServerOptions) *Server {
	s := &Server{servers: []*http.Server{
		http.NewServerWith(o.Config, http.Options{
			Name: "api", Mode: serviceMode, Keeper: o.Keeper, Kept: o.Kept, Log: o.Log,
		}, New(services, system, o.Log)),
	}}
	s.pages = http.Options{Name: "page", MaxConns: maxPageConns, Keeper: o.Keeper, Kept: o.Kept, Log: o.Log}
	if o.Page != nil {
		s.page = &page{options: s.pages, config: o.Page.Config, handler: NewPage(services, system, *o.Page, o.Log)}
	}
	if o.Admin == "" || !http.CanTellPeers {
		return s
	}
	p, missing := http.FindPersons("server.group", o.Group, o.Service)
	s.missing, s.log = missing, o.Log
	config := http.ServerConfig{Address: "unix://" + o.Admin, Timeout: o.Config.Timeout}
	s.servers = append(s.servers, http.NewServerWith(config, http.Options{
		Name: "admin", Mode: adminMode, Group: p.Socket(), Keeper: o.Keeper, Kept: o.Kept, Log: o.Log,
	}, NewAdmin(services, system, p.Admit, o.Page, o.Log)))
	return s
}

// Listen opens both sockets, or takes over those of the master before.
func (s *Server) Listen() error {
	for i, one := range s.servers {
		if err := one.Listen(); err != nil {
			for _, opened := range s.servers[:i] {
				err = errors.Join(err, opened.Close())
			}
			return err
		}
	}
	if s.page != nil {
		s.page.listen()
	} else if err := http.Drop(s.pages); err != nil { // that of the master before
		s.pages.Log.WithError(err).Warnf("the port of the page stays taken")
	}
	if s.missing != "" {
		s.log.Infof("%s", s.missing)
	}
	return nil
}

// Leave makes the end of Serve leave the sockets to the next master, which the keeper gives them to: whoever connects
// meanwhile waits. Without it the sockets are removed.
func (s *Server) Leave() {
	for _, one := range s.servers {
		one.Leave()
	}
	if s.page != nil {
		s.page.leave()
	}
}

// Serve answers requests until ctx ends or a socket fails; running requests then have five seconds to finish.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(s.servers))
	var serving sync.WaitGroup
	for i, one := range s.servers {
		serving.Go(func() {
			defer cancel()
			errs[i] = one.Serve(ctx)
		})
	}
	if s.page != nil {
		serving.Go(func() { s.page.serve(ctx) })
	}
	serving.Wait()
	return errors.Join(errs...)
}
