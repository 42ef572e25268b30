"""A plain script instead of a function: plain.py PORT NAME [durable] subscribes to NAME/in, handles each message, and
publishes the result on NAME/out.

Without durable it is what the tutorials of paho show: messages that arrive while the script is not connected are lost.
"""
import json
import sys

import paho.mqtt.client as mqtt

PORT, NAME = int(sys.argv[1]), sys.argv[2]


def handler(event):
    return event


def on_message(client, _userdata, message):
    result = handler(json.loads(message.payload))
    client.publish(NAME + '/out', json.dumps(result), message.qos)


CLIENT = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, NAME, clean_session='durable' not in sys.argv)
CLIENT.username_pw_set('test', 'hahaha')
CLIENT.on_connect = lambda client, *_: client.subscribe(NAME + '/in', 1)
CLIENT.on_message = on_message
CLIENT.connect('127.0.0.1', PORT)
CLIENT.loop_forever()
