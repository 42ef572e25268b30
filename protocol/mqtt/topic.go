package mqtt

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/baetyl/baetyl/utils/topic"
)

const maxTopic = 65535 // bytes [MQTT-4.7.3-3]

// CheckTopic returns why a message can't be published to topic, or nil.
func CheckTopic(topic string) error {
	if err := checkText(topic); err != nil {
		return err
	}
	if strings.ContainsAny(topic, "+#") {
		return errors.New("topic has a wildcard; + and # stand in filters only") // [MQTT-3.3.2-2]
	}
	return nil
}

// CheckFilter returns why filter can't be subscribed to, or nil.
func CheckFilter(filter string) error {
	if err := checkText(filter); err != nil {
		return err
	}
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		switch {
		case strings.Contains(l, "#") && (l != "#" || i != len(levels)-1):
			return errors.New("filter has # elsewhere than alone in its last level") // [MQTT-4.7.1-2]
		case strings.Contains(l, "+") && l != "+":
			return errors.New("filter has + beside other characters in a level") // [MQTT-4.7.1-3]
		}
	}
	return nil
}

func checkText(s string) error {
	switch {
	case s == "":
		return errors.New("topic is empty") // [MQTT-4.7.3-1]
	case len(s) > maxTopic:
		return errors.New("topic is longer than 65535 bytes")
	case strings.ContainsRune(s, 0):
		return errors.New("topic has the character U+0000") // [MQTT-4.7.3-2]
	case !utf8.ValidString(s):
		return errors.New("topic is not UTF-8") // [MQTT-1.5.3-1]
	}
	return nil
}

// Match tells whether filter matches topic. Both must be valid (CheckFilter, CheckTopic). A wildcard at the start of a
// filter does not match topics that start with $ [MQTT-4.7.2-1].
func Match(filter, name string) bool { return topic.Match(filter, name) }
