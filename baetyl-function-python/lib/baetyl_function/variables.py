"""The variables of a configuration file, {{.NAME}}, as all modules have them.

They are covered while YAML is parsed and filled into scalars, so that a value is one value, whatever is in it. Without
quotes it takes the type of its key, which Given leaves to the reader of the key. {{{{.NAME}}}} is the text {{.NAME}}.
"""
from __future__ import absolute_import

import re
import uuid

import yaml

_VARIABLE = re.compile(r'\{\{\{\{\s*\.[A-Za-z0-9_]+\s*\}\}\}\}|\{\{\s*\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}')
_BARE = re.compile(r'^[-+.\w]+$')
_NULLS = ('', '~', 'null', 'Null', 'NULL')
_TYPES = ('tag:yaml.org,2002:bool', 'tag:yaml.org,2002:int', 'tag:yaml.org,2002:float')
_GIVEN = '!given'

_string = type(u'')


class Unusable(Exception):
    """A variable that can't be used: the line, what is wrong, what to do."""


class Given(_string):
    """What stood without quotes and has a variable: the text, for a key of text, and its value, for the others."""
    value = None


class Loader(yaml.SafeLoader):
    """Loads text with the values of its variables. Refuses a key that is there twice; PyYAML takes the last one."""

    def __init__(self, text, environ):
        self._mark, self._parts, self._environ = 'v' + uuid.uuid4().hex, [], environ
        self._place = re.compile(self._mark + '([0-9]+)v')
        lines = text.split('\n')
        for i, line in enumerate(lines):
            if '{{' in line and not line.lstrip().startswith('#'):
                lines[i] = _VARIABLE.sub(lambda m, i=i: self._cover(i + 1, m), line)
        yaml.SafeLoader.__init__(self, '\n'.join(lines))

    def _cover(self, line, match):
        self._parts.append((line, match.group(0), match.group(1)))
        return '%s%dv' % (self._mark, len(self._parts) - 1)

    def uncover(self, text):
        """Shows the text of the file in an error."""
        return self._place.sub(lambda m: self._parts[int(m.group(1))][1], text)

    def _fill(self, match):
        line, text, name = self._parts[int(match.group(1))]
        if name is None:
            return text[2:-2]
        reason = None
        value = self._environ.get(name)
        if value is None:
            reason = ('not set; set it or write the value in its place; for the text %s itself write {{%s}}'
                      % (text, text))
        else:
            try:
                value = value if isinstance(value, _string) else value.decode('utf-8')
                value.encode('utf-8')
            except UnicodeError:
                reason = 'not UTF-8; set it to text in UTF-8'
        if reason:
            raise Unusable('line %d: environment variable %s is %s' % (line, name, reason))
        return value

    def compose_scalar_node(self, anchor):
        node = yaml.SafeLoader.compose_scalar_node(self, anchor)
        if self._mark in node.value:
            node.value = self._place.sub(self._fill, node.value)
            if node.tag == 'tag:yaml.org,2002:str':  # and not another type that is written before it
                node.tag = node.tag if node.style else _GIVEN
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != 'tag:yaml.org,2002:merge':
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, (str, _string)):
                    raise yaml.constructor.ConstructorError(
                        None, None, 'key %r is not text' % (key,), key_node.start_mark)
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, "key '%s' is there twice" % key, key_node.start_mark)
                seen.add(key)
        return yaml.SafeLoader.construct_mapping(self, node, deep)

    def construct_given(self, node):
        """The Given of a node, or None for nothing at all."""
        if node.value == '':
            return None
        given, text = Given(node.value), node.value.strip()
        given.value = node.value
        if text in _NULLS:
            given.value = None
        elif _BARE.match(text):
            tag = self.resolve(yaml.ScalarNode, text, (True, False))
            if tag in _TYPES:
                try:
                    given.value = self.yaml_constructors[tag](self, yaml.ScalarNode(tag, text))
                except ValueError:
                    pass  # 0x and the like, which only begin as a number does
        return given


Loader.add_constructor(_GIVEN, Loader.construct_given)
