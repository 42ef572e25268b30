package main

import (
	"os"
	"testing"

	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// Run it with: go test
func TestEvent(t *testing.T) {
	event, err := os.ReadFile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := handle(t.Context(), &function.Message{Payload: event})
	if want := `{"celsius":30,"device":"boiler"}`; err != nil || string(got) != want {
		t.Fatalf("want %s, got %s, %v", want, got, err)
	}
}

func TestMessageWithoutATemperature(t *testing.T) {
	if _, err := handle(t.Context(), &function.Message{Payload: []byte(`{"device":"boiler"}`)}); err == nil {
		t.Fatal("it takes it")
	}
}
