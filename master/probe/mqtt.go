package probe

import (
	"fmt"
	"io"
	"net"
)

// connectPacket is CONNECT of MQTT 3.1.1: clean session, no client id, no user, keep alive of a minute.
var connectPacket = []byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 0}

// disconnectPacket ends a session that has begun.
var disconnectPacket = []byte{0xe0, 0}

// refusals are the texts of the codes of CONNACK.
var refusals = map[byte]string{
	1: "protocol version", 2: "client id", 3: "server unavailable", 4: "user name or password", 5: "not authorized",
}

// askMQTT is one CONNECT. A broker that refuses it works; one that says that it does not, does not.
func askMQTT(conn net.Conn) (string, error) {
	if _, err := conn.Write(connectPacket); err != nil {
		return "", err
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return "", fmt.Errorf("wait for CONNACK: %w", err)
	}
	code, err := parseConnack(answer)
	switch {
	case err != nil:
		return "", err
	case code == 0:
		_, _ = conn.Write(disconnectPacket)
		return "accepted", nil
	case code == unavailable:
		return "", fmt.Errorf("CONNACK %d (%s)", code, refusals[code])
	}
	return fmt.Sprintf("refused: CONNACK %d (%s)", code, refusals[code]), nil
}

// unavailable is the code of a broker that works, and says that it cannot serve anybody.
const unavailable = 3

func parseConnack(p [4]byte) (code byte, err error) {
	if p[0] != 0x20 || p[1] != 2 || p[2] > 1 || p[3] > 5 {
		return 0, fmt.Errorf("the answer is not CONNACK but % x", p)
	}
	return p[3], nil
}
