package function

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// secret is that of this instance. It leaves the environment before the program's own code runs, so that neither that
// nor its child processes find it there.
var secret = conf.Secret(takeSecret())

func takeSecret() string {
	s := os.Getenv(masterapi.EnvInstanceSecret)
	_ = os.Unsetenv(masterapi.EnvInstanceSecret) // fails for a name that cannot be one
	return s
}

// admit refuses a gRPC call whose metadata have not the secret.
func (s *Server) admit(ctx context.Context) error {
	given := metadata.ValueFromIncomingContext(ctx, protocol.SecretMetadata)
	if len(given) == 1 && subtle.ConstantTimeCompare([]byte(given[0]), []byte(s.cfg.Secret)) == 1 {
		return nil
	}
	return status.Error(codes.Unauthenticated, "only the function manager may call this instance: the metadata "+
		protocol.SecretMetadata+" is not the instance's secret")
}

func (s *Server) unary(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	return next(ctx, in)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.admit(ss.Context()); err != nil {
		return err
	}
	return next(srv, ss)
}

// removeSocket removes the socket that an earlier life of the instance has left. Anything else at its place stays.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket; remove it, or use another path", path)
	}
	return os.Remove(path)
}
