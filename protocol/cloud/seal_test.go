package cloud_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/cloud"
)

// The files of testdata were made with openssl pkeyutl -sign (padding pkcs1, no digest) and openssl enc -aes-256-cbc
// (iv 0): what is sealed elsewhere in the format of 2019 opens here.
func TestOpenWhatOpensslSealed(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		return data
	}
	block, _ := pem.Decode(read("device-public.txt"))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	plain, err := cloud.Sealed{
		Key:  string(read("sealed-key.txt")),
		Body: string(read("sealed-body.txt")),
	}.Open(
		pub.(*rsa.PublicKey),
	)
	require.NoError(t, err)
	require.Equal(t, `{"time":"2019-09-24T00:00:00Z","software":{},"hardware":{}}`, string(plain))
}

func TestSealAndOpen(t *testing.T) {
	device, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, size := range []int{0, 1, 15, 16, 17, 5000} {
		report := bytes.Repeat([]byte("r"), size)
		s, err := cloud.Seal(device, report)
		require.NoError(t, err)
		require.False(t, seen[s.Key], "a key is used once [W13c]")
		seen[s.Key] = true
		plain, err := s.Open(&device.PublicKey)
		require.NoError(t, err)
		require.Equal(t, report, append([]byte{}, plain...))
		_, err = s.Open(&other.PublicKey)
		require.ErrorIs(t, err, cloud.ErrSeal)

		// Bit for bit: the key is 32 letters under padding 00 01 FF … 00.
		raw, err := base64.StdEncoding.DecodeString(s.Key)
		require.NoError(t, err)
		m := new(big.Int).Exp(new(big.Int).SetBytes(raw), big.NewInt(int64(device.E)), device.N).FillBytes(make([]byte, 256))
		require.Equal(t, append([]byte{0, 1}, append(bytes.Repeat([]byte{0xff}, 256-3-32), 0)...), m[:256-32])
		require.Regexp(t, "^[a-zA-Z]{32}$", string(m[256-32:]))
	}
}

func FuzzOpen(f *testing.F) {
	device, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.Fatal(err)
	}
	s, err := cloud.Seal(device, []byte("report"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Key, s.Body)
	f.Add("", "")
	f.Add(s.Key, "AAAA")
	f.Fuzz(func(t *testing.T, key, body string) {
		_, err := cloud.Sealed{Key: key, Body: body}.Open(&device.PublicKey)
		if err != nil {
			require.ErrorIs(t, err, cloud.ErrSeal)
		}
	})
}
