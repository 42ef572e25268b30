// The function example-function: degrees Fahrenheit in, degrees Celsius out.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

func main() { function.Run(handle) }

func handle(_ context.Context, m *function.Message) ([]byte, error) {
	var event struct {
		Device     string
		Fahrenheit *float64
	}
	if err := json.Unmarshal(m.Payload, &event); err != nil {
		return nil, err
	}
	if event.Fahrenheit == nil {
		return nil, errors.New("the message has no number fahrenheit")
	}
	celsius := math.Round((*event.Fahrenheit-32)/0.18) / 10
	return json.Marshal(map[string]any{"device": event.Device, "celsius": celsius})
}
