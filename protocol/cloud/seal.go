package cloud

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// Sealed is a report on its way: Key is the header HeaderKey, Body the body. It is what clouds of 2019 read, and it
// adds little to the TLS around it: any holder of the device's certificate can open it, and only TLS protects it from
// changes.
type Sealed struct {
	Key  string // base64 of the AES key, in PKCS#1 v1.5 type 1 padding under the device's private key
	Body string // base64 of the content in AES-256-CBC with a zero IV and PKCS#7 padding
}

// ErrSeal is returned by Open for whatever does not fit. It gives no detail, which could help an attacker.
var ErrSeal = errors.New("report cannot be opened with this key")

// keySize is the length of the AES key, in bytes. They are letters, since clouds of 2019 may take the key for text.
const keySize = 32

// zeroIV is safe only because each report has a new key.
var zeroIV [aes.BlockSize]byte

// Serial returns the value of HeaderSerial.
func Serial(cert *x509.Certificate) string { return cert.SerialNumber.String() }

// Seal encrypts a report with a new AES key and that key with the device's.
func Seal(device *rsa.PrivateKey, report []byte) (Sealed, error) {
	key := letters()
	// Type 1 padding of data as it is: a signature without the prefix that names a digest.
	sealed, err := rsa.SignPKCS1v15(nil, device, 0, key)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return Sealed{}, err
	}
	pad := aes.BlockSize - len(report)%aes.BlockSize
	body := append(bytes.Clone(report), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, zeroIV[:]).CryptBlocks(body, body)
	return Sealed{base64.StdEncoding.EncodeToString(sealed), base64.StdEncoding.EncodeToString(body)}, nil
}

// Open decrypts a report with the key in the device's certificate.
func (s Sealed) Open(device *rsa.PublicKey) ([]byte, error) {
	sealed, err1 := base64.StdEncoding.DecodeString(s.Key)
	body, err2 := base64.StdEncoding.DecodeString(s.Body)
	if err1 != nil || err2 != nil || len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil, ErrSeal
	}
	key := unpadType1(device, sealed)
	if len(key) != keySize {
		return nil, ErrSeal
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, ErrSeal
	}
	cipher.NewCBCDecrypter(block, zeroIV[:]).CryptBlocks(body, body)
	pad := int(body[len(body)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(body[len(body)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrSeal
	}
	return body[:len(body)-pad], nil
}

// unpadType1 undoes the private key's operation: 00 01 FF…FF 00 data, with eight FF at least. nil: it is not that.
func unpadType1(pub *rsa.PublicKey, sealed []byte) []byte {
	m := new(big.Int).SetBytes(sealed)
	if len(sealed) != pub.Size() || m.Cmp(pub.N) >= 0 {
		return nil
	}
	em := m.Exp(m, big.NewInt(int64(pub.E)), pub.N).FillBytes(make([]byte, pub.Size()))
	head, data, ok := bytes.Cut(em[1:], []byte{0})
	if !ok || em[0] != 0 || len(head) < 9 || head[0] != 1 || len(bytes.Trim(head[1:], "\xff")) > 0 {
		return nil
	}
	return data
}

// letters returns keySize random ASCII letters, which are 182 bits.
func letters() []byte {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	key, b := make([]byte, 0, keySize), make([]byte, keySize)
	for len(key) < keySize {
		rand.Read(b)
		for _, c := range b {
			if c < 4*byte(len(alphabet)) && len(key) < keySize { // each letter as likely as any other
				key = append(key, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return key
}
