"""One connection to a hub with paho: visit.py '<visit as JSON>' prints the outcome as JSON. See visit in clients_test.go."""
import json
import ssl
import sys
import time
from urllib.parse import urlparse

import paho.mqtt.client as mqtt

VISIT = json.loads(sys.argv[1])
OUTCOME = {}


def end(**outcome):
    if not OUTCOME:
        OUTCOME.update(outcome)


def on_connect(client, _userdata, _flags, reason, _properties):
    if reason.is_failure:
        end(error=str(reason))
    else:
        client.subscribe(VISIT['topic'], VISIT['qos'])


def on_subscribe(client, _userdata, _mid, reasons, _properties):
    if reasons[0].is_failure:
        end(error='subscription refused')
    else:
        client.publish(VISIT['topic'], VISIT['payload'], VISIT['qos'])


def main():
    url = urlparse(VISIT['url'])
    websockets = url.scheme in ('ws', 'wss')
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport='websockets' if websockets else 'tcp')
    if websockets:
        client.ws_set_options(path=url.path)
    if url.scheme in ('mqtts', 'wss'):
        client.tls_set(VISIT.get('ca'), VISIT.get('cert'), VISIT.get('key'), cert_reqs=ssl.CERT_REQUIRED)
    if VISIT.get('username'):
        client.username_pw_set(VISIT['username'], VISIT.get('password'))
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = lambda _client, _userdata, m: end(received=m.payload.decode('utf-8'))
    client.on_disconnect = lambda *_: end(error='connection closed')
    try:
        client.connect(url.hostname, url.port)
        deadline = time.time() + 60
        while not OUTCOME and time.time() < deadline:
            if client.loop(0.2) != mqtt.MQTT_ERR_SUCCESS:
                end(error='connection closed')
    except (OSError, ValueError) as err:
        end(error=str(err))
    end(error='no message within a minute')
    print(json.dumps(OUTCOME))


main()
