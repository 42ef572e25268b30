package manager

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
)

// open adds the gRPC server, which calls functions by name: one attempt for each call. It has no login.
func (m *manager) open(g *run.Group, cfg rpc.ServerConfig, l log.Logger) error {
	s := rpc.NewServer(cfg, m.call)
	if err := s.Listen(); err != nil {
		return err
	}
	cfg.Announce(l)
	g.Add("server", s.Serve)
	return nil
}

func (m *manager) call(ctx context.Context, in *rpc.Message) (*rpc.Message, error) {
	f := m.byName[in.GetFunctionName()]
	if f == nil {
		return nil, status.Errorf(codes.Unknown, "function (%s) not found", in.GetFunctionName())
	}
	return f.Call(ctx, in)
}
