package manager

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/run"
)

// open adds the gRPC front door: whoever reaches it calls functions by name, once, without retry.
func (m *manager) open(g *run.Group, cfg rpc.ServerConfig) error {
	s := rpc.NewServer(cfg, m.call)
	if err := s.Listen(); err != nil {
		return err
	}
	g.Add("server", s.Serve)
	return nil
}

func (m *manager) call(ctx context.Context, in *rpc.Message) (*rpc.Message, error) {
	f := m.byName[in.GetFunctionName()]
	if f == nil {
		return nil, status.Errorf(codes.Unknown, "function (%s) not found", in.GetFunctionName())
	}
	// A caller that goes away gives up waiting for an instance; a call that runs is finished, else the instance would be
	// taken for broken.
	return f.Call(ctx, context.WithoutCancel(ctx), in, false)
}
