package rule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"unicode/utf8"

	"github.com/baetyl/baetyl/protocol/mqtt"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// errorType stands in every error message, as the documents show. The gRPC code in errorMessage tells the kind of
// error.
const errorType = "*errors.Err"

// failure is the documented error message of a call.
type failure struct {
	Message  string        `json:"errorMessage"`
	Type     string        `json:"errorType"`
	Function functionInput `json:"functionMessage"` // what went in
}

type functionInput struct {
	ID               uint64
	QOS              uint32
	Topic            string `json:",omitempty"`
	Payload          []byte `json:",omitempty"` // base64
	Timestamp        int64  `json:",omitempty"`
	FunctionName     string `json:",omitempty"`
	FunctionInvokeID string `json:",omitempty"`
}

// report makes the error message of m, in a packet of at most limit bytes. What does not fit is left out: first the
// payload, then the end of the cause.
func report(m *rpc.Message, cause error, topic string, qos uint32, limit int) mqtt.Message {
	f := failure{
		Message: cause.Error(),
		Type:    errorType,
		Function: functionInput{
			ID:               m.ID,
			QOS:              m.QOS,
			Topic:            m.Topic,
			Payload:          m.Payload,
			Timestamp:        m.Timestamp,
			FunctionName:     m.FunctionName,
			FunctionInvokeID: m.FunctionInvokeID,
		},
	}
	out := mqtt.Message{Topic: topic, QOS: qos, Payload: f.json()}
	if out.PacketSize() > limit && len(f.Function.Payload) > 0 {
		f.Function.Payload = nil
		f.Message += fmt.Sprintf(" (functionMessage.Payload of %d bytes left out)", len(m.Payload))
		out.Payload = f.json()
	}
	if whole := f.Message; out.PacketSize() > limit {
		// A character may take more bytes in JSON than here, so the length is searched for.
		n := max(0, sort.Search(len(whole)+1, func(n int) bool {
			f.Message = whole[:n]
			out.Payload = f.json()
			return out.PacketSize() > limit
		})-1)
		for n > 0 && n < len(whole) && !utf8.RuneStart(whole[n]) {
			n--
		}
		f.Message = whole[:n]
		out.Payload = f.json()
	}
	return out
}

func (f failure) json() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		panic(err) // texts, numbers and bytes always have a form in JSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
