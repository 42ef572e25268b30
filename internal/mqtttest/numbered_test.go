package mqtttest

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

func TestNumbered(t *testing.T) {
	receive := func(x *Numbered, qos packet.QOS, topic string, numbers ...int) {
		for _, n := range numbers {
			x.Receive(&packet.Message{Topic: topic, QOS: qos, Payload: Number(n)})
		}
	}
	var right Numbered
	receive(&right, 1, "a", 1, 2, 3, 2, 3, 4)
	receive(&right, 2, "b", 1, 2)
	got, repeated := right.Count()
	require.Equal(t, []int{6, 2, 4, 2}, []int{got, repeated, right.Newest("a"), right.Newest("b")})
	require.Empty(t, right.Wrong())

	var lost, twice, late, other Numbered
	receive(&lost, 1, "a", 1, 3)
	require.Equal(t, []string{"a: message 3 came after 1"}, lost.Wrong())
	receive(&twice, 2, "a", 1, 2, 2)
	require.Equal(t, []string{"a: message 2 came twice at QoS 2"}, twice.Wrong())
	receive(&late, 1, "a", 2)
	require.Len(t, late.Wrong(), 1)
	other.Receive(&packet.Message{Topic: "a", Payload: []byte("x")})
	require.Len(t, other.Wrong(), 1)
}
