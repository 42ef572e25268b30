package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/run"
)

// open adds the gRPC front door: whoever reaches it calls functions by name, once, without retry.
func (m *manager) open(g *run.Group, cfg baetyl.FServerConfig) error {
	s := baetyl.NewFServer(cfg, m.call)
	if err := s.Listen(); err != nil {
		return err
	}
	g.Add("server", s.Serve)
	return nil
}

func (m *manager) call(ctx context.Context, in *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
	f := m.byName[in.GetFunctionName()]
	if f == nil {
		return nil, status.Errorf(codes.Unknown, "function (%s) not found", in.GetFunctionName())
	}
	// A caller that goes away gives up waiting for an instance; a call that runs is finished, else the instance would be taken
	// for broken.
	return f.Call(ctx, context.WithoutCancel(ctx), in, false)
}
