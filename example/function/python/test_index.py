"""Run it with: python3 -m unittest"""
import io
import json
import unittest

import index


class Test(unittest.TestCase):
    def test_event(self):
        with io.open('event.json', encoding='utf-8') as f:
            event = json.load(f)
        self.assertEqual(index.handler(event, {}), {'device': 'boiler', 'celsius': 30})

    def test_message_without_a_temperature(self):
        self.assertRaises(KeyError, index.handler, {'device': 'boiler'}, {})


if __name__ == '__main__':
    unittest.main()
