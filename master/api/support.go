package api

import (
	"context"
	nethttp "net/http"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func (h *handler) backup(r *nethttp.Request, _ caller) (any, error) {
	var in masterapi.BackupRequest
	if err := http.ReadJSON(r, &in); err != nil {
		return nil, err
	}
	return stream{content: masterapi.ContentArchive, run: func(ctx context.Context, s *http.Stream) error {
		return h.system.Backup(ctx, s, in)
	}}, nil
}

func (h *handler) bundle(*nethttp.Request, caller) (any, error) {
	return stream{content: masterapi.ContentArchive, run: func(ctx context.Context, s *http.Stream) error {
		return h.system.Bundle(ctx, s)
	}}, nil
}

func (h *handler) examine(r *nethttp.Request, _ caller) (any, error) {
	return h.system.Examine(r.Context(), r.URL.Query().Get(masterapi.QueryNetwork) == "true"), nil
}
