package eval

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf8"
)

// Digests are of the text's bytes in UTF-8, in hexadecimal digits.
func md5Hex(s string) string    { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
func sha1Hex(s string) string   { return fmt.Sprintf("%x", sha1.Sum([]byte(s))) }
func sha256Hex(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
func sha512Hex(s string) string { return fmt.Sprintf("%x", sha512.Sum512([]byte(s))) }
func toHex(s string) string     { return hex.EncodeToString([]byte(s)) }
func toBase64(s string) string  { return base64.StdEncoding.EncodeToString([]byte(s)) }

func crc(_ *row, a []any) (any, error) {
	return int64(crc32.ChecksumIEEE([]byte(a[0].(string)))), nil
}

func fromBase64(_ *row, a []any) (any, error) {
	return asText(base64.StdEncoding.DecodeString(a[0].(string)))
}

func fromHex(_ *row, a []any) (any, error) { return asText(hex.DecodeString(a[0].(string))) }

// asText returns bytes as text, or an error if they are not UTF-8: JSON has no form for them.
func asText(b []byte, err error) (any, error) {
	switch {
	case err != nil:
		return nil, err
	case !utf8.Valid(b):
		return nil, errors.New("the bytes are not text in UTF-8")
	}
	return string(b), nil
}
